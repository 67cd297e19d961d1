#pragma once

#include <stddef.h>
#include <stdint.h>

/// Constant bytes that are part of the executable: never freed, never changed, 16-byte aligned.
typedef struct {
    const uint8_t *_Nonnull bytes;
    size_t count;
} CVocabularyData;

/// CLIP's byte-pair merges. Layout of these three: scripts/make-vocabulary.
CVocabularyData CVocabularyMerges(void);

/// HTML 5's named character references.
CVocabularyData CVocabularyEntities(void);

/// ftfy's character classes, encodings and replacements.
CVocabularyData CVocabularyMojibake(void);
