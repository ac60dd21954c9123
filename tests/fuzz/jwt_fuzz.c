/* Tokens of an issuer whose key (RFC 8037, A.1) the fuzzer does not have: none is taken. */
#include <stdlib.h>

#include "guard/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct td_guard *g;
    static const struct td_guard_jwt_config config = {"hub", NULL, TD_GUARD_EDDSA};
    const char *wrong = NULL;
    if (g == NULL) {
        struct td_guard_file keys = {
            "keys", TD_STR("-----BEGIN PUBLIC KEY-----\n"
                           "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                           "-----END PUBLIC KEY-----\n")};
        g = td_guard_new();
        td_assert(td_guard_jwt_load(g, &keys, &config, NULL) == TD_OK);
    }
    td_assert(td_guard_jwt_principal(g, (td_slice){data, size}, 0, &wrong) == NULL);
    td_assert(wrong != NULL);
    return 0;
}
