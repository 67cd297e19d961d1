#include "CSiteAssets.h"

#include <string.h>

// #embed is C23; this compiler knows it in every language mode and says so as a warning.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const uint8_t camera_svg[] = {
#embed "../SearchSite/Assets/camera.svg"
};

static const uint8_t icon_svg[] = {
#embed "../SearchSite/Assets/icon.svg"
};

static const uint8_t openapi_json[] = {
#embed "../SearchSite/Assets/openapi.json"
};

static const uint8_t site_css[] = {
#embed "../SearchSite/Assets/site.css"
};

static const uint8_t site_js[] = {
#embed "../SearchSite/Assets/site.js"
};

static const uint8_t box_mustache[] = {
#embed "../SearchSite/Assets/box.mustache"
};

static const uint8_t examples_mustache[] = {
#embed "../SearchSite/Assets/examples.mustache"
};

static const uint8_t hit_mustache[] = {
#embed "../SearchSite/Assets/hit.mustache"
};

static const uint8_t message_mustache[] = {
#embed "../SearchSite/Assets/message.mustache"
};

static const uint8_t page_mustache[] = {
#embed "../SearchSite/Assets/page.mustache"
};

static const uint8_t picture_mustache[] = {
#embed "../SearchSite/Assets/picture.mustache"
};

static const uint8_t results_mustache[] = {
#embed "../SearchSite/Assets/results.mustache"
};

static const uint8_t strip_mustache[] = {
#embed "../SearchSite/Assets/strip.mustache"
};

#define FILE_NAMED(name, bytes) {name, bytes, sizeof bytes}

static const CSiteAsset files[] = {
    FILE_NAMED("camera.svg", camera_svg),
    FILE_NAMED("icon.svg", icon_svg),
    FILE_NAMED("openapi.json", openapi_json),
    FILE_NAMED("site.css", site_css),
    FILE_NAMED("site.js", site_js),
    FILE_NAMED("box.mustache", box_mustache),
    FILE_NAMED("examples.mustache", examples_mustache),
    FILE_NAMED("hit.mustache", hit_mustache),
    FILE_NAMED("message.mustache", message_mustache),
    FILE_NAMED("page.mustache", page_mustache),
    FILE_NAMED("picture.mustache", picture_mustache),
    FILE_NAMED("results.mustache", results_mustache),
    FILE_NAMED("strip.mustache", strip_mustache),
};

const CSiteAsset *CSiteAssetNamed(const char *name) {
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(files[i].name, name) == 0) return &files[i];
    return NULL;
}
