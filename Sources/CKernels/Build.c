#include "CKernels.h"

#ifndef CLIP_SEARCH_COMMIT
#define CLIP_SEARCH_COMMIT ""
#endif

// A file of its own: the define changes with every commit.
const char *ck_build_commit(void) { return CLIP_SEARCH_COMMIT; }
