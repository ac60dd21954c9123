/* app: `tandem user` writes the users file, `tandem grants` asks it and the grants file.
 *
 * A file is written anew beside the old one and renamed over it, so a running hub reads the one or
 * the other; SIGHUP makes it read. What would not be read is not written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/file.h"
#include "guard/guard.h"

enum { FILE_BYTES_MAX = 64 << 20, PASSWORD_BYTES_MAX = 1024 };

struct user {
    const char *file, *name;
    struct td_cli_list roles;
    const char *key;
    bool generate, scram, no_password, http;
    struct td_buf text, made, why; /* of the file; what it becomes */
};

static int complain(struct user *u, const char *what)
{
    if (what != NULL) {
        (void)td_buf_printf(&u->why, "%s", what);
    }
    (void)fprintf(stderr, "tandem user: %.*s\n", (int)u->why.n, (const char *)u->why.p);
    return TD_CLI_FAILED;
}

/* ---- secrets ---- */

/* `bits` random bits, five a character. */
static void random_text(char *out, size_t bits)
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* none looks like another */
    uint8_t raw[64];
    size_t count = (bits + 4) / 5;
    td_assert(count <= sizeof raw && getrandom(raw, count, 0) == (ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        out[i] = digits[raw[i] % 32];
    }
    out[count] = '\0';
}

/* One line of the terminal without echo, or of a pipe. */
static bool line_read(const char *ask, char *out, size_t cap)
{
    struct termios shown, hidden;
    bool terminal = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &shown) == 0;
    if (terminal) {
        (void)fprintf(stderr, "%s: ", ask);
        hidden = shown;
        hidden.c_lflag &= (tcflag_t)~ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool got = fgets(out, (int)cap, stdin) != NULL;
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        (void)fprintf(stderr, "\n");
    }
    out[got ? strcspn(out, "\r\n") : 0] = '\0';
    return got && out[0] != '\0';
}

static bool password_get(const struct user *u, char out[PASSWORD_BYTES_MAX])
{
    if (u->generate) {
        random_text(out, 128);
        printf("%s\n", out);
        return true;
    }
    return line_read("password", out, PASSWORD_BYTES_MAX);
}

/* ---- the file ---- */

static bool file_read(struct user *u, bool must)
{
    if (!must && access(u->file, F_OK) != 0 && errno == ENOENT) {
        return true;
    }
    return td_app_file_read(u->file, &u->text, &u->why) == TD_OK;
}

static bool made_is_good(struct user *u)
{
    struct td_guard *g = td_guard_new();
    struct td_guard_file users = {u->file, td_buf_slice(&u->made)}, none = {0};
    bool good = td_guard_load(g, &users, &none, &u->why) == TD_OK;
    td_guard_free(g);
    return good;
}

static bool write_all(int file, td_slice text)
{
    while (text.n > 0) {
        ssize_t n = write(file, text.p, text.n);
        if (n < 0) {
            return false;
        }
        text = td_slice_skip(text, (size_t)n);
    }
    return fsync(file) == 0;
}

/* Owner and mode stay what they were. */
static bool file_write(struct user *u)
{
    char beside[4096];
    struct stat old;
    bool was = stat(u->file, &old) == 0;
    if (snprintf(beside, sizeof beside, "%s.new", u->file) >= (int)sizeof beside) {
        return false;
    }
    (void)unlink(beside);
    int file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = file >= 0 && write_all(file, td_buf_slice(&u->made)) &&
                (!was || (fchmod(file, old.st_mode & 07777) == 0 &&
                          (fchown(file, old.st_uid, old.st_gid) == 0 || geteuid() != 0)));
    good = file >= 0 && close(file) == 0 && good && rename(beside, u->file) == 0;
    if (!good) {
        (void)td_buf_printf(&u->why, "%s: %s; may this user write there?", u->file,
                            strerror(errno));
        (void)unlink(beside);
    }
    return good;
}

static td_slice line_next(td_slice *rest)
{
    td_slice line = td_slice_head(*rest, td_slice_find(*rest, '\n'));
    *rest = td_slice_skip(*rest, line.n + 1);
    return line;
}

static bool is_line_of(td_slice line, const char *name)
{
    while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
        line = td_slice_skip(line, 1);
    }
    td_slice wanted = td_slice_of(name);
    return td_slice_starts(line, wanted) && line.n > wanted.n && line.p[wanted.n] == ':';
}

static td_slice line_find(const struct user *u)
{
    td_slice rest = td_buf_slice(&u->text);
    while (rest.n > 0) {
        td_slice line = line_next(&rest);
        if (is_line_of(line, u->name)) {
            return line;
        }
    }
    return (td_slice){NULL, 0};
}

/* The file with `line` in place of the user's, or at the end; empty: without the user's. */
static void make(struct user *u, td_slice line)
{
    td_slice rest = td_buf_slice(&u->text);
    bool done = line.n == 0;
    while (rest.n > 0) {
        td_slice old = line_next(&rest);
        bool its = is_line_of(old, u->name);
        if (its && done) {
            continue;
        }
        (void)td_buf_printf(&u->made, "%.*s\n", (int)(its ? line.n : old.n),
                            (const char *)(its ? line.p : old.p));
        done = done || its;
    }
    if (!done) {
        (void)td_buf_printf(&u->made, "%.*s\n", (int)line.n, (const char *)line.p);
    }
}

static int save(struct user *u, td_slice line)
{
    make(u, line);
    if (!made_is_good(u) || !file_write(u)) {
        return complain(u, NULL);
    }
    return TD_CLI_OK;
}

static bool is_password(td_slice word)
{
    return td_slice_starts(word, TD_STR("$argon2id$")) ||
           td_slice_eq(word, TD_STR(TD_GUARD_HTTP)) ||
           td_slice_starts(word, TD_STR("$scram-sha-256$"));
}

static bool is_key(td_slice word)
{
    return td_slice_starts(word, TD_STR("$key$"));
}

static bool is_token(td_slice word)
{
    return td_slice_starts(word, TD_STR("$token$"));
}

/* Roles and credentials of a line; those of one kind are left out. */
static void parts_of(td_slice line, td_slice *roles, struct td_buf *rest, bool (*without)(td_slice))
{
    td_slice fields = td_slice_skip(line, td_slice_find(line, ':') + 1);
    *roles = td_slice_head(fields, td_slice_find(fields, ':'));
    td_slice words = td_slice_skip(fields, roles->n + 1);
    while (words.n > 0) {
        td_slice word = td_slice_head(words, td_slice_find(words, ' '));
        words = td_slice_skip(words, word.n + 1);
        if (word.n > 0 && !without(word)) {
            (void)td_buf_printf(rest, " %.*s", (int)word.n, (const char *)word.p);
        }
    }
}

/* The user's line with this in place of the credentials of one kind. */
static int save_credential(struct user *u, const char *credential, bool (*kind)(td_slice))
{
    struct td_buf others, line;
    td_slice roles;
    td_buf_init(&others, FILE_BYTES_MAX);
    td_buf_init(&line, FILE_BYTES_MAX);
    parts_of(line_find(u), &roles, &others, kind);
    (void)td_buf_printf(&line, "%s:", u->name);
    if (u->roles.count == 0) {
        (void)td_buf_printf(&line, "%.*s", (int)roles.n, (const char *)roles.p);
    }
    for (size_t i = 0; i < u->roles.count; i++) {
        (void)td_buf_printf(&line, "%s%s", i > 0 ? "," : "", u->roles.at[i]);
    }
    (void)td_buf_printf(&line, ":%s%.*s", credential, (int)others.n, (const char *)others.p);
    int status = save(u, td_buf_slice(&line));
    td_buf_fini(&others);
    td_buf_fini(&line);
    return status;
}

/* ---- the actions ---- */

static int set_password(struct user *u)
{
    char password[PASSWORD_BYTES_MAX], stored[2 * TD_GUARD_PASSWORD_MAX];
    uint8_t salt[TD_GUARD_SALT_BYTES];
    if (u->http) {
        return save_credential(u, TD_GUARD_HTTP, is_password);
    }
    if (!password_get(u, password)) {
        return complain(u, "there is no password; type one, pipe one in, or have one made by "
                           "--generate");
    }
    td_assert(getrandom(salt, sizeof salt, 0) == (ssize_t)sizeof salt);
    enum td_err err = td_guard_password_hash(td_slice_of(password), salt, stored);
    if (err == TD_OK && u->scram) {
        size_t n = strlen(stored);
        stored[n] = ' ';
        td_assert(getrandom(salt, sizeof salt, 0) == (ssize_t)sizeof salt);
        td_guard_scram_make(td_slice_of(password), (td_slice){salt, sizeof salt}, 0,
                            stored + n + 1);
    }
    td_guard_forget(password, sizeof password);
    return err == TD_OK ? save_credential(u, stored, is_password)
                        : complain(u, "a hash takes 19 MB of memory, which there is not");
}

/* A user that comes by certificate or pre-shared key: with that key only, if one is said. */
static int set_key(struct user *u)
{
    char stored[TD_GUARD_PASSWORD_MAX] = "";
    if (u->key != NULL &&
        (size_t)snprintf(stored, sizeof stored, "$key$%s", u->key) >= sizeof stored) {
        return complain(u, "a key's SHA-256 has 64 hexadecimal digits");
    }
    return save_credential(u, stored, is_key);
}

static int user_add(struct user *u)
{
    if (!file_read(u, false)) {
        return complain(u, NULL);
    }
    if (line_find(u).n > 0) {
        return complain(u, "that user is there already; `tandem user password` sets a new one");
    }
    return u->no_password || u->key != NULL ? set_key(u) : set_password(u);
}

static bool read_with_user(struct user *u)
{
    if (!file_read(u, true)) {
        return false;
    }
    if (line_find(u).n == 0) {
        (void)td_buf_printf(&u->why, "%s: no user '%s'; `tandem user list` shows who is there",
                            u->file, u->name);
        return false;
    }
    return true;
}

static int user_password(struct user *u)
{
    return read_with_user(u) ? set_password(u) : complain(u, NULL);
}

static int user_token(struct user *u)
{
    char token[64], stored[TD_GUARD_PASSWORD_MAX];
    if (!read_with_user(u)) {
        return complain(u, NULL);
    }
    random_text(token, 256);
    td_guard_token_hash(td_slice_of(token), stored);
    int status = save_credential(u, stored, is_token);
    if (status == TD_CLI_OK) {
        printf("%s\n", token);
    }
    return status;
}

static int user_remove(struct user *u)
{
    return read_with_user(u) ? save(u, (td_slice){NULL, 0}) : complain(u, NULL);
}

static int user_list(struct user *u)
{
    if (!file_read(u, true)) {
        return complain(u, NULL);
    }
    td_slice rest = td_buf_slice(&u->text);
    while (rest.n > 0) {
        td_slice line = line_next(&rest);
        td_slice name = td_slice_head(line, td_slice_find(line, ':'));
        td_slice more = td_slice_skip(line, name.n + 1);
        td_slice roles = td_slice_head(more, td_slice_find(more, ':'));
        if (name.n > 0 && name.p[0] != '#') {
            printf("%.*s %.*s\n", (int)name.n, (const char *)name.p, roles.n > 0 ? (int)roles.n : 6,
                   roles.n > 0 ? (const char *)roles.p : "device");
        }
    }
    return TD_CLI_OK;
}

static const struct {
    const char *word;
    int (*run)(struct user *u);
    bool named;
} actions[] = {{"add", user_add, true},
               {"password", user_password, true},
               {"token", user_token, true},
               {"remove", user_remove, true},
               {"list", user_list, false}};

static int user_run(struct user *u, const struct td_cli_list *words)
{
    for (size_t i = 0; i < TD_COUNT(actions) && words->count > 0; i++) {
        if (strcmp(words->at[0], actions[i].word) == 0) {
            if (words->count != (actions[i].named ? 2U : 1U)) {
                (void)fprintf(stderr, "tandem user: %s takes %s\n", words->at[0],
                              actions[i].named ? "one NAME" : "no name");
                return TD_CLI_USAGE;
            }
            u->name = words->at[1];
            if (actions[i].named && !td_guard_name_valid(td_slice_of(u->name))) {
                return complain(u, "a name has 1 to 128 bytes without blanks and + # / : , and "
                                   "does not begin with $");
            }
            return actions[i].run(u);
        }
    }
    (void)fprintf(stderr, "tandem user: say add, password, token, remove or list; see "
                          "`tandem user --help`\n");
    return TD_CLI_USAGE;
}

int td_app_user(int argc, char **argv)
{
    struct user u = {.file = "users"};
    struct td_cli_list words = {.count = 0};
    int status = TD_CLI_OK;
    const struct td_cli_option rows[] = {
        {"--file", 'f', TD_CLI_TEXT, &u.file, "FILE", "the users file; default: users", 0, 0},
        {"--role", 'r', TD_CLI_LIST, &u.roles, "ROLE", "a role it has; default: device", 0, 0},
        {"--scram", 's', TD_CLI_FLAG, &u.scram, NULL, "also for SCRAM-SHA-256 (MQTT 5.0)", 0, 0},
        {"--http", 'H', TD_CLI_FLAG, &u.http, NULL,
         "its password is judged by [access] password_url", 0, 0},
        {"--no-password", 'n', TD_CLI_FLAG, &u.no_password, NULL, "it comes by certificate or PSK",
         0, 0},
        {"--key", 'k', TD_CLI_TEXT, &u.key, "HEX", "SHA-256 of its certificate's public key", 0, 0},
        {"--generate", 'g', TD_CLI_FLAG, &u.generate, NULL, "make a password and print it", 0, 0},
    };
    td_buf_init(&u.text, FILE_BYTES_MAX);
    td_buf_init(&u.made, FILE_BYTES_MAX);
    td_buf_init(&u.why, 4096);
    if (td_cli_parse("user", "add|password|token|remove NAME, or list [OPTION]...", rows,
                     TD_COUNT(rows),
                     "\nA password is read from the terminal or from a pipe. `token` makes and "
                     "prints one for the API.\nA running hub reads the file again after SIGHUP.\n",
                     argc, argv, &words, &status)) {
        status = user_run(&u, &words);
    }
    td_buf_fini(&u.text);
    td_buf_fini(&u.made);
    td_buf_fini(&u.why);
    return status;
}

/* ---- grants ---- */

struct question {
    const char *users, *grants, *client;
    struct td_buf user_text, grant_text, out;
};

static bool files_load(struct question *q, struct td_guard *g)
{
    struct td_guard_file users = {q->users, {NULL, 0}}, grants = {q->grants, {NULL, 0}};
    enum td_err err = TD_OK;
    if (q->users != NULL) {
        err = td_app_file_read(q->users, &q->user_text, &q->out);
        users.text = td_buf_slice(&q->user_text);
    }
    if (err == TD_OK && q->grants != NULL) {
        err = td_app_file_read(q->grants, &q->grant_text, &q->out);
        grants.text = td_buf_slice(&q->grant_text);
    }
    return err == TD_OK && td_guard_load(g, &users, &grants, &q->out) == TD_OK;
}

static int question_ask(struct question *q, const struct td_cli_list *words)
{
    struct td_guard *g = td_guard_new();
    int status = TD_CLI_FAILED;
    unsigned action = td_guard_action_of(td_slice_of(words->at[2]));
    if (!files_load(q, g)) {
        (void)fprintf(stderr, "tandem grants: %.*s\n", (int)q->out.n, (const char *)q->out.p);
    } else if (action == 0) {
        (void)fprintf(stderr,
                      "tandem grants: '%s' is no action; there are publish, subscribe, read, "
                      "write, admin\n",
                      words->at[2]);
        status = TD_CLI_USAGE;
    } else {
        struct td_principal *p = td_guard_principal(g, td_slice_of(words->at[1]));
        bool may =
            td_guard_explain(p, td_slice_of(q->client), action, td_slice_of(words->at[3]), &q->out);
        (void)td_app_file_write(stdout, td_buf_slice(&q->out));
        if (p != NULL) {
            td_principal_unref(g, p);
        }
        status = may ? TD_CLI_OK : TD_CLI_FAILED;
    }
    td_guard_free(g);
    return status;
}

int td_app_grants(int argc, char **argv)
{
    struct question q = {.client = ""};
    struct td_cli_list words = {.count = 0};
    int status = TD_CLI_OK;
    const struct td_cli_option rows[] = {
        {"--users", 'u', TD_CLI_TEXT, &q.users, "FILE", "the users file", 0, 0},
        {"--grants", 'g', TD_CLI_TEXT, &q.grants, "FILE", "the grants file", 0, 0},
        {"--id", 'i', TD_CLI_TEXT, &q.client, "ID", "the client id, for %c", 0, 0},
    };
    td_buf_init(&q.user_text, FILE_BYTES_MAX);
    td_buf_init(&q.grant_text, FILE_BYTES_MAX);
    td_buf_init(&q.out, FILE_BYTES_MAX);
    if (td_cli_parse("grants", "test PRINCIPAL ACTION TOPIC [OPTION]...", rows, TD_COUNT(rows),
                     "\nACTION is publish, subscribe, read, write or admin. Exits with 0 for yes, "
                     "1 for no.\n",
                     argc, argv, &words, &status)) {
        if (words.count != 4 || strcmp(words.at[0], "test") != 0) {
            (void)fprintf(stderr, "tandem grants: write: tandem grants test PRINCIPAL ACTION "
                                  "TOPIC -u FILE -g FILE\n");
            status = TD_CLI_USAGE;
        } else {
            status = question_ask(&q, &words);
        }
    }
    td_buf_fini(&q.user_text);
    td_buf_fini(&q.grant_text);
    td_buf_fini(&q.out);
    return status;
}
