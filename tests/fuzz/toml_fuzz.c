/* Any bytes as a document: no harm, every node has a place in the text, errors can be shown. */
#include "base/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t walk(const struct td_toml *node, uint32_t lines)
{
    size_t count = 0, all = 1;
    td_assert(td_in(node->line, 1, lines) && node->column >= 1);
    td_assert(node->type != TD_TOML_STRING || td_utf8_valid(node->text));
    for (const struct td_toml *child = node->first; child != NULL; child = child->next) {
        td_assert(node->type != TD_TOML_TABLE || td_toml_get(node, child->key) == child);
        count++;
        all += walk(child, lines);
    }
    td_assert(count == node->count);
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct td_arena arena;
    struct td_toml *root = NULL;
    struct td_toml_error error = {0};
    uint32_t lines = 1;
    for (size_t i = 0; i < n; i++) {
        lines += data[i] == '\n';
    }
    td_arena_init(&arena, 1 << 20);
    enum td_err err = td_toml_parse((td_slice){data, n}, &arena, &root, &error);
    if (err == TD_OK) {
        td_assert(walk(root, lines) <= n + 1);
    } else {
        struct td_buf b;
        td_assert(root == NULL && td_in(error.line, 1, lines) && error.text[0] != 0);
        td_buf_init(&b, 1 << 20);
        td_toml_explain("x", (td_slice){data, n}, &error, &b);
        td_buf_fini(&b);
    }
    td_arena_fini(&arena);
    return 0;
}
