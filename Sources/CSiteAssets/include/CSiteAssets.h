#pragma once

#include <stdint.h>

/// The text of a file of Sources/SearchSite/Assets, such as "site.css", which is part of the executable;
/// NULL when there is none.
const uint8_t *_Nullable CSiteAssetNamed(const char *_Nonnull name);
