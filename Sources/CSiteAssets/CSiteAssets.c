#include "CSiteAssets.h"

#include <string.h>

// #embed is C23; this compiler knows it in every language mode and says so as a warning.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const struct {
    const char *name;
    const uint8_t *text;
} files[] = {
    {"camera.svg", (const uint8_t[]) {
#embed "../SearchSite/Assets/camera.svg" suffix(, 0)
    }},
    {"icon.svg", (const uint8_t[]) {
#embed "../SearchSite/Assets/icon.svg" suffix(, 0)
    }},
    {"openapi.json", (const uint8_t[]) {
#embed "../SearchSite/Assets/openapi.json" suffix(, 0)
    }},
    {"site.css", (const uint8_t[]) {
#embed "../SearchSite/Assets/site.css" suffix(, 0)
    }},
    {"site.js", (const uint8_t[]) {
#embed "../SearchSite/Assets/site.js" suffix(, 0)
    }},
    {"box.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/box.mustache" suffix(, 0)
    }},
    {"examples.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/examples.mustache" suffix(, 0)
    }},
    {"hit.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/hit.mustache" suffix(, 0)
    }},
    {"message.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/message.mustache" suffix(, 0)
    }},
    {"page.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/page.mustache" suffix(, 0)
    }},
    {"picture.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/picture.mustache" suffix(, 0)
    }},
    {"results.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/results.mustache" suffix(, 0)
    }},
    {"strip.mustache", (const uint8_t[]) {
#embed "../SearchSite/Assets/strip.mustache" suffix(, 0)
    }},
};

const uint8_t *CSiteAssetNamed(const char *name) {
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(files[i].name, name) == 0) return files[i].text;
    return NULL;
}
