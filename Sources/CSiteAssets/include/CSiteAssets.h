#pragma once

#include <stddef.h>
#include <stdint.h>

/// A file of Sources/SearchSite/Assets as constant bytes that are part of the executable.
typedef struct {
    const char *_Nonnull name;
    const uint8_t *_Nonnull bytes;
    size_t count;
} CSiteAsset;

/// The file of a name, such as "site.css"; NULL when there is none.
const CSiteAsset *_Nullable CSiteAssetNamed(const char *_Nonnull name);
