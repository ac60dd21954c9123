/* app, private: the command line. One row per subcommand, one row per option; help, parsing and
 * errors come from the rows. */
#ifndef TD_APP_CLI_H
#define TD_APP_CLI_H

#include "base/base.h"

enum td_cli_exit { TD_CLI_OK = 0, TD_CLI_FAILED = 1, TD_CLI_USAGE = 2 };

/* ---- subcommands ---- */

struct td_cli_command {
    const char *name;    /* "pub" */
    const char *usage;   /* what stands behind the name: "-t TOPIC -m TEXT [OPTION]..." */
    const char *summary; /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the name; gives the exit status */
};

/* Runs argv[1]'s row; prints help or names the nearest command. */
int td_cli_main(const struct td_cli_command *commands, size_t count, int argc, char **argv);

/* ---- options ---- */

enum td_cli_kind {
    TD_CLI_FLAG,   /* bool *, set to true */
    TD_CLI_COUNT,  /* int *, counted up each time */
    TD_CLI_TEXT,   /* const char **, borrowed from argv */
    TD_CLI_NUMBER, /* int64_t *, within least..most */
    TD_CLI_REAL,   /* double *, within least..most */
    TD_CLI_LIST    /* struct td_cli_list *, every use adds one */
};

enum { TD_CLI_LIST_MAX = 64 };

struct td_cli_list {
    const char *at[TD_CLI_LIST_MAX];
    size_t count;
};

struct td_cli_option {
    const char *name; /* "--data"; may be NULL if there is a short form */
    char letter;      /* 'd' for -d, 0: none; flags join (-dr), values follow (-p 1883, -p1883) */
    enum td_cli_kind kind;
    void *into;
    const char *value; /* what it is called in the help: "DIR"; NULL for flags */
    const char *help;
    int64_t least, most; /* of numbers */
};

/* Parses argv[1..]. Words that are not options go to `words` (NULL: there must be none); "--" ends
 * the options. "--help" prints usage, rows and `more` and gives false with *status TD_CLI_OK; an
 * error prints what is wrong with which option and the remedy and gives false with TD_CLI_USAGE. */
bool td_cli_parse(const char *command, const char *usage, const struct td_cli_option *options,
                  size_t count, const char *more, int argc, char **argv, struct td_cli_list *words,
                  int *status);

/* The candidate that `word` was most likely meant to be, NULL if none is near. */
const char *td_cli_nearest(const char *word, const char *const *candidates, size_t count);

#endif
