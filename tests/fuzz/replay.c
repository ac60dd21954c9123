/* fuzz: runs a harness over the files of a corpus, without libFuzzer, so that each build replays
 * what fuzzing has found.
 *
 *   X_fuzz DIRECTORY|FILE...
 *
 * Each file runs whole and cut short at some places: input that ends too early is the commonest
 * way for a parser to go wrong. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t file_count;

/* An exact copy on the heap lets AddressSanitizer see the first byte read behind the end. */
static void run(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    if (copy == NULL) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        copy[i] = data[i];
    }
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static bool replay_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        (void)fprintf(stderr, "replay: cannot open %s\n", path);
        return false;
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    run(bytes, n);
    for (size_t cut = n / 2; cut > 0; cut /= 2) {
        run(bytes, n - cut);
    }
    file_count++;
    return true;
}

static bool replay(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return replay_file(path);
    }
    bool good = true;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char full[4096];
        if (e->d_name[0] != '.') {
            (void)snprintf(full, sizeof full, "%s/%s", path, e->d_name);
            good = replay_file(full) && good;
        }
    }
    (void)closedir(d);
    return good;
}

int main(int argc, char **argv)
{
    bool good = argc > 1;
    for (int i = 1; i < argc; i++) {
        good = replay(argv[i]) && good;
    }
    (void)printf("%zu files replayed\n", file_count);
    if (file_count == 0) {
        (void)fprintf(stderr, "replay: no corpus; give the harness some files to start from\n");
        return 1;
    }
    return good ? 0 : 1;
}
