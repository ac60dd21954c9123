/* base: comparing and converting values. */
#include "base/value.h"

bool td_value_same(struct td_value a, struct td_value b)
{
    if (a.type != b.type) {
        return false;
    }
    switch (a.type) {
    case TD_VALUE_NONE:
        return true;
    case TD_VALUE_BOOL:
        return a.as.b == b.as.b;
    case TD_VALUE_INT:
        return a.as.i == b.as.i;
    case TD_VALUE_FLOAT:
        return memcmp(&a.as.f, &b.as.f, sizeof a.as.f) == 0;
    case TD_VALUE_TEXT:
        return td_slice_eq(a.as.text, b.as.text);
    }
    return false;
}

bool td_value_number(struct td_value v, double *out)
{
    switch (v.type) {
    case TD_VALUE_BOOL:
        *out = v.as.b ? 1 : 0;
        return true;
    case TD_VALUE_INT:
        *out = (double)v.as.i;
        return true;
    case TD_VALUE_FLOAT:
        *out = v.as.f;
        return true;
    case TD_VALUE_NONE:
    case TD_VALUE_TEXT:
        break;
    }
    return false;
}

const char *td_value_type_name(enum td_value_type type)
{
    static const char *const names[] = {"none", "bool", "int", "float", "text"};
    return names[type];
}
