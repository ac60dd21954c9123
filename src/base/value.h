/* base: what a point, a field of a message and a rule's operand can be. Passed by value; text is
 * borrowed. */
#ifndef TD_VALUE_H
#define TD_VALUE_H

#include "bits/bits.h"

enum td_value_type {
    TD_VALUE_NONE, /* absent, null */
    TD_VALUE_BOOL,
    TD_VALUE_INT,
    TD_VALUE_FLOAT, /* any double, also NaN; kept bit for bit */
    TD_VALUE_TEXT   /* UTF-8, borrowed from where the value came from */
};

struct td_value {
    enum td_value_type type;
    union {
        bool b;
        int64_t i;
        double f;
        td_slice text;
    } as;
};

static inline struct td_value td_value_none(void)
{
    return (struct td_value){.type = TD_VALUE_NONE};
}

static inline struct td_value td_value_bool(bool b)
{
    return (struct td_value){.type = TD_VALUE_BOOL, .as.b = b};
}

static inline struct td_value td_value_int(int64_t i)
{
    return (struct td_value){.type = TD_VALUE_INT, .as.i = i};
}

static inline struct td_value td_value_float(double f)
{
    return (struct td_value){.type = TD_VALUE_FLOAT, .as.f = f};
}

static inline struct td_value td_value_text(td_slice text)
{
    return (struct td_value){.type = TD_VALUE_TEXT, .as.text = text};
}

/* Same type and same bits: NaN equals itself, 0 and -0 differ, 1 and 1.0 differ. */
bool td_value_same(struct td_value a, struct td_value b);
/* As a double if it is a number or a bool (1, 0); false: it is not, *out untouched. */
bool td_value_number(struct td_value v, double *out);
/* "none", "bool", "int", "float", "text". */
const char *td_value_type_name(enum td_value_type type);

#endif
