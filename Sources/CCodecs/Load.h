#pragma once

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CCodecs.h"

// A library's functions are listed once, as a macro FUNCTIONS(F) of F(name) in a row. They become the members
// of `api`, typed by the library's header, and `load` fills them in.
#define STRING(text) #text
#define EXPANDED(text) STRING(text)
#define MEMBER(name) __typeof__(&name) name;
#define LOOK_UP(name) \
    if (!(*(void **)&api.name = dlsym(library, #name))) \
        return;

#define DEFINE_LOAD(soname, initialize) \
    static struct { FUNCTIONS(MEMBER) } api; \
    static int is_loaded; \
    static void load_once(void) { \
        void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL); \
        if (!library) \
            return; \
        FUNCTIONS(LOOK_UP) \
        initialize; \
        is_loaded = 1; \
    } \
    static int load(void) { \
        static pthread_once_t once = PTHREAD_ONCE_INIT; \
        pthread_once(&once, load_once); \
        return is_loaded; \
    }

// The entry point, after the functions that it names.
#define DEFINE_CODEC(function, name, soname) \
    const ccodec *function(void) { \
        static const ccodec codec = { \
            name, soname, load, version, open_image, decode, close_image}; \
        return &codec; \
    }

static inline ccodec_status fail(ccodec_status status, char *message, const char *text) {
    // One line, in which nothing acts on a terminal.
    snprintf(message, ccodec_message_size, "%s", text);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            *c = ' ';
    return status;
}
