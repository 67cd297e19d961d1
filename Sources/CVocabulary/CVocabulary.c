#include "CVocabulary.h"

// #embed is C23; this compiler knows it in every language mode and says so as a warning.
#pragma clang diagnostic ignored "-Wc23-extensions"

_Alignas(16) static const uint8_t merges[] = {
#embed "merges.bin"
};

_Alignas(16) static const uint8_t entities[] = {
#embed "entities.bin"
};

_Alignas(16) static const uint8_t mojibake[] = {
#embed "mojibake.bin"
};

CVocabularyData CVocabularyMerges(void) {
    return (CVocabularyData){merges, sizeof merges};
}

CVocabularyData CVocabularyEntities(void) {
    return (CVocabularyData){entities, sizeof entities};
}

CVocabularyData CVocabularyMojibake(void) {
    return (CVocabularyData){mojibake, sizeof mojibake};
}
