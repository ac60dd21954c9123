/* lang: values and what can be said of two of them without a memory. */
#include "lang/vm.h"

#include <math.h>

#include "base/json.h"

struct td_lang_value td_lang_num(double num)
{
    if (!isfinite(num)) {
        return td_lang_unknown();
    }
    return (struct td_lang_value){.kind = TD_LANG_NUM, .num = num};
}

double td_lang_affine(double x, double mul, double add)
{
    double y = x * mul + add;
    bool shifted = add < 0 || add > 0;
    return shifted && fabs(y) < 1e6 ? round(y * 1e9) / 1e9 : y;
}

static int num_cmp(double a, double b)
{
    return (a > b) - (a < b);
}

bool td_lang_value_eq(struct td_lang_value a, struct td_lang_value b)
{
    if (a.kind != b.kind) {
        return false;
    }
    switch ((enum td_lang_kind)a.kind) {
    case TD_LANG_BOOL:
        return a.truth == b.truth;
    case TD_LANG_NUM:
        return num_cmp(a.num, b.num) == 0;
    case TD_LANG_TEXT:
        return td_slice_eq(a.text, b.text);
    case TD_LANG_ANY:
        break;
    }
    return true;
}

enum td_err td_lang_value_print(struct td_buf *out, struct td_lang_value v)
{
    static const char *const quality[] = {"", " (STALE)", ""};
    enum td_err err = TD_OK;
    if (v.quality == TD_LANG_UNKNOWN || v.kind == TD_LANG_ANY) {
        return td_buf_add(out, TD_STR("UNKNOWN"));
    }
    if (v.kind == TD_LANG_BOOL) {
        err = td_buf_add(out, v.truth ? TD_STR("TRUE") : TD_STR("FALSE"));
    } else if (v.kind == TD_LANG_NUM) {
        err = td_json_add_number(out, v.num);
    } else {
        err = td_buf_printf(out, "'%.*s'", TD_LANG_S(v.text));
    }
    return err != TD_OK ? err : td_buf_add(out, td_slice_of(quality[v.quality]));
}

/* ---- arithmetic: the worse quality is handed on ---- */

static struct td_lang_value arithmetic(enum td_lang_op op, struct td_lang_value a,
                                       struct td_lang_value b)
{
    if (a.kind != TD_LANG_NUM || b.kind != TD_LANG_NUM) {
        return td_lang_unknown();
    }
    double x = a.num, y = b.num;
    double r = op == TD_LANG_OP_ADD   ? x + y
               : op == TD_LANG_OP_SUB ? x - y
               : op == TD_LANG_OP_MUL ? x * y
                                      : x / y;
    struct td_lang_value v = td_lang_num(r);
    uint8_t worse = a.quality > b.quality ? a.quality : b.quality;
    v.quality = v.quality > worse ? v.quality : worse;
    return v;
}

static struct td_lang_value compare(enum td_lang_op op, struct td_lang_value a,
                                    struct td_lang_value b)
{
    if (a.quality != TD_LANG_KNOWN || b.quality != TD_LANG_KNOWN || a.kind != b.kind) {
        return td_lang_unknown();
    }
    if (op == TD_LANG_OP_EQ || op == TD_LANG_OP_NE) {
        return td_lang_truth(td_lang_value_eq(a, b) == (op == TD_LANG_OP_EQ));
    }
    if (a.kind != TD_LANG_NUM) {
        return td_lang_unknown();
    }
    int c = num_cmp(a.num, b.num);
    return td_lang_truth(op == TD_LANG_OP_LT   ? c < 0
                         : op == TD_LANG_OP_LE ? c <= 0
                         : op == TD_LANG_OP_GT ? c > 0
                                               : c >= 0);
}

static struct td_lang_value logic(enum td_lang_op op, struct td_lang_value a,
                                  struct td_lang_value b)
{
    enum td_lang_logic x = td_lang_logic_of(a), y = td_lang_logic_of(b);
    enum td_lang_logic decides = op == TD_LANG_OP_AND ? LOGIC_FALSE : LOGIC_TRUE;
    if (x == decides || y == decides) {
        return td_lang_of_logic(decides);
    }
    if (x == LOGIC_UNKNOWN || y == LOGIC_UNKNOWN) {
        return td_lang_unknown();
    }
    return td_lang_of_logic(x);
}

struct td_lang_value td_lang_apply(enum td_lang_op op, struct td_lang_value a,
                                   struct td_lang_value b)
{
    if (op <= TD_LANG_OP_DIV) {
        return arithmetic(op, a, b);
    }
    return op <= TD_LANG_OP_GE ? compare(op, a, b) : logic(op, a, b);
}

/* ---- functions ---- */

static struct td_lang_value of_number(enum td_lang_func func, double x, double digits)
{
    switch ((int)func) {
    case TD_LANG_FUNC_ABS:
        return td_lang_num(fabs(x));
    case TD_LANG_FUNC_CEIL:
        return td_lang_num(ceil(x));
    case TD_LANG_FUNC_FLOOR:
        return td_lang_num(floor(x));
    case TD_LANG_FUNC_EXP:
        return td_lang_num(exp(x));
    case TD_LANG_FUNC_LN:
        return td_lang_num(log(x));
    case TD_LANG_FUNC_SQRT:
        return td_lang_num(sqrt(x));
    case TD_LANG_FUNC_ROUND: {
        double f = pow(10, fmax(-15, fmin(15, trunc(digits))));
        return td_lang_num(round(x * f) / f);
    }
    default:
        return td_lang_unknown();
    }
}

static struct td_lang_value best_of(const struct td_lang_value *args, size_t count, int sign)
{
    struct td_lang_value best = args[0];
    uint8_t worst = 0;
    for (size_t i = 0; i < count; i++) {
        if (args[i].kind != TD_LANG_NUM) {
            return td_lang_unknown();
        }
        worst = args[i].quality > worst ? args[i].quality : worst;
        best = num_cmp(args[i].num, best.num) == sign ? args[i] : best;
    }
    best.quality = worst;
    return best;
}

static struct td_lang_value step_of(const struct td_lang_value *args, size_t count)
{
    struct td_lang_value v = count > 1 ? args[1] : td_lang_unknown();
    if (args[0].kind != TD_LANG_NUM || args[0].quality == TD_LANG_UNKNOWN) {
        return td_lang_unknown();
    }
    for (size_t i = 2; i + 1 < count; i += 2) {
        if (args[i].kind != TD_LANG_NUM || args[i].quality != TD_LANG_KNOWN) {
            return td_lang_unknown();
        }
        v = args[0].num >= args[i].num ? args[i + 1] : v;
    }
    v.quality = args[0].quality > v.quality ? args[0].quality : v.quality;
    return v;
}

static struct td_lang_value clamp_of(const struct td_lang_value *args)
{
    struct td_lang_value lower = best_of(args, 2, 1); /* x, at least args[1] */
    struct td_lang_value pair[2] = {lower, args[2]};
    return best_of(pair, 2, -1);
}

static struct td_lang_value first_known(const struct td_lang_value *args, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (args[i].quality == TD_LANG_KNOWN && args[i].kind != TD_LANG_ANY) {
            return args[i];
        }
    }
    return args[count - 1];
}

struct td_lang_value td_lang_call(enum td_lang_func func, const struct td_lang_value *args,
                                  size_t count)
{
    switch ((int)func) {
    case TD_LANG_FUNC_COALESCE:
        return first_known(args, count);
    case TD_LANG_FUNC_GREATEST:
        return best_of(args, count, 1);
    case TD_LANG_FUNC_LEAST:
        return best_of(args, count, -1);
    case TD_LANG_FUNC_CLAMP:
        return count == 3 ? clamp_of(args) : td_lang_unknown();
    case TD_LANG_FUNC_STEP:
        return step_of(args, count);
    case TD_LANG_FUNC_IF: {
        enum td_lang_logic c = td_lang_logic_of(args[0]);
        return c == LOGIC_UNKNOWN || count != 3 ? td_lang_unknown() : args[c == LOGIC_TRUE ? 1 : 2];
    }
    default:
        break;
    }
    double digits = count > 1 && args[1].kind == TD_LANG_NUM ? args[1].num : 0;
    if (args[0].kind != TD_LANG_NUM || (count > 1 && args[1].quality != TD_LANG_KNOWN)) {
        return td_lang_unknown();
    }
    struct td_lang_value v = of_number(func, args[0].num, digits);
    v.quality = args[0].quality > v.quality ? args[0].quality : v.quality;
    return v;
}
