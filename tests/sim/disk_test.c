/* sim: the disk keeps what was synced, and of the rest any part that a real one might. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/disk.h"

struct fixture {
    struct sim_world *w;
    struct sim_disk *d;
    struct sim_machine *m;
    struct td_sys *sys;
};

static struct fixture begin(uint64_t seed)
{
    struct fixture f;
    f.w = sim_world_new(seed);
    f.d = sim_disk_new(f.w);
    f.m = sim_machine_new(f.w, "hub", f.d);
    f.sys = &f.m->sys;
    return f;
}

static void end(struct fixture *f)
{
    sim_machine_free(f->m);
    sim_disk_free(f->d);
    sim_world_free(f->w);
}

/* The power fails and comes back. */
static void cut(struct fixture *f, enum sim_cut how)
{
    sim_machine_crash(f->m, false);
    sim_disk_cut(f->d, how);
    sim_machine_free(f->m);
    f->m = sim_machine_new(f->w, "hub", f->d);
    f->sys = &f->m->sys;
}

static int make(struct fixture *f, const char *path)
{
    int file;
    assert_int_equal(TD_OK,
                     f->sys->open(f->sys, path, TD_SYS_OPEN_WRITE | TD_SYS_OPEN_CREATE, &file));
    return file;
}

static void fill(struct fixture *f, int file, uint8_t with, size_t n, uint64_t at)
{
    static uint8_t bytes[8192];
    memset(bytes, with, sizeof bytes);
    assert_int_equal(TD_OK, f->sys->pwrite(f->sys, file, (td_slice){bytes, n}, at));
}

static int make_synced(struct fixture *f, const char *path, uint8_t with, size_t n)
{
    int file = make(f, path);
    fill(f, file, with, n, 0);
    assert_int_equal(TD_OK, f->sys->datasync(f->sys, file));
    assert_int_equal(TD_OK, f->sys->dirsync(f->sys, "."));
    return file;
}

static void synced_bytes_and_names_survive_every_cut(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fixture f = begin(seed);
        (void)make_synced(&f, "a", 'x', 3000);
        cut(&f, SIM_CUT_ANY);
        td_slice bytes = sim_disk_peek(f.d, "a");
        assert_int_equal(3000, bytes.n);
        for (size_t i = 0; i < bytes.n; i++) {
            assert_int_equal('x', bytes.p[i]);
        }
        end(&f);
    }
}

static void unsynced_sectors_are_kept_dropped_and_mixed_but_never_torn_inside(void **state)
{
    (void)state;
    size_t old = 0, new = 0, newest = 0, mixed = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fixture f = begin(seed);
        int file = make_synced(&f, "a", 'o', 4096);
        fill(&f, file, 'n', 4096, 0);
        fill(&f, file, 'N', 4096, 0);
        cut(&f, SIM_CUT_RANDOM);
        td_slice bytes = sim_disk_peek(f.d, "a");
        assert_int_equal(4096, bytes.n);
        bool differ = false;
        for (size_t s = 0; s < 8; s++) {
            uint8_t first = bytes.p[s * 512];
            for (size_t i = 1; i < 512; i++) {
                assert_int_equal(first, bytes.p[s * 512 + i]);
            }
            old += first == 'o';
            new += first == 'n';
            newest += first == 'N';
            differ |= first != bytes.p[0];
        }
        mixed += differ;
        end(&f);
    }
    assert_true(old > 100 && new > 100 && newest > 100 && mixed > 100);
}

static void a_name_without_dirsync_may_be_lost_and_a_rename_is_whole(void **state)
{
    (void)state;
    size_t lost = 0, kept = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fixture f = begin(seed);
        (void)make_synced(&f, "a", 'a', 100);
        (void)make_synced(&f, "b.new", 'b', 100);
        assert_int_equal(TD_OK, f.sys->rename(f.sys, "b.new", "a"));
        (void)make(&f, "c");
        cut(&f, SIM_CUT_RANDOM);
        bool renamed = sim_disk_peek(f.d, "a").p[0] == 'b';
        assert_int_equal(renamed, sim_disk_peek(f.d, "b.new").p == NULL);
        lost += sim_disk_peek(f.d, "c").p == NULL;
        kept += sim_disk_peek(f.d, "c").p != NULL;
        assert_true(renamed || sim_disk_peek(f.d, "c").p == NULL); /* in order */
        end(&f);
    }
    assert_true(lost > 10 && kept > 10);
}

static void files_of_a_lost_directory_are_lost_with_it(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    assert_int_equal(TD_OK, f.sys->mkdir(f.sys, "data"));
    int file = make(&f, "data/a");
    fill(&f, file, 'a', 10, 0);
    assert_int_equal(TD_OK, f.sys->datasync(f.sys, file));
    assert_int_equal(TD_OK, f.sys->dirsync(f.sys, "data"));
    cut(&f, SIM_CUT_LOST);
    assert_null(sim_disk_peek(f.d, "data/a").p);
    assert_int_equal(TD_ENOENT, f.sys->open(f.sys, "data/a", 0, &file));
    end(&f);
}

static void a_dead_process_loses_its_locks_and_nothing_else(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    int file = make(&f, "a"), again = make(&f, "a");
    fill(&f, file, 'a', 10, 0);
    assert_int_equal(TD_OK, f.sys->lock(f.sys, file));
    assert_int_equal(TD_EEXIST, f.sys->lock(f.sys, again));
    sim_machine_crash(f.m, true);
    sim_disk_killed(f.d);
    sim_machine_free(f.m);
    f.m = sim_machine_new(f.w, "hub", f.d);
    f.sys = &f.m->sys;
    file = make(&f, "a");
    assert_int_equal(TD_OK, f.sys->lock(f.sys, file));
    assert_int_equal(10, sim_disk_peek(f.d, "a").n);
    end(&f);
}

static void after_the_stop_nothing_reaches_the_disk(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    int file = make_synced(&f, "a", 'a', 10);
    sim_disk_stop_at(f.d, sim_disk_steps(f.d) + 2);
    fill(&f, file, 'b', 10, 0);
    assert_int_equal(TD_EIO, f.sys->datasync(f.sys, file));
    assert_true(sim_disk_stopped(f.d));
    assert_int_equal(TD_EIO, f.sys->pwrite(f.sys, file, TD_STR("c"), 0));
    cut(&f, SIM_CUT_LOST);
    assert_int_equal('a', sim_disk_peek(f.d, "a").p[0]);
    end(&f);
}

static void a_failed_sync_leaves_its_writes_in_doubt_for_ever(void **state)
{
    (void)state;
    size_t lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fixture f = begin(seed);
        int file = make_synced(&f, "a", 'a', 10);
        fill(&f, file, 'b', 10, 0);
        sim_disk_faults(f.d)->sync_ppm = 1000000;
        assert_int_equal(TD_EIO, f.sys->datasync(f.sys, file));
        sim_disk_faults(f.d)->sync_ppm = 0;
        assert_int_equal(TD_OK, f.sys->datasync(f.sys, file));
        cut(&f, SIM_CUT_LOST);
        lost += sim_disk_peek(f.d, "a").p[0] == 'a';
        end(&f);
    }
    assert_true(lost > 10);
}

static void a_full_disk_says_so(void **state)
{
    (void)state;
    struct fixture f = begin(1);
    int file = make(&f, "a");
    uint64_t left;
    sim_disk_faults(f.d)->space_bytes = 1000;
    fill(&f, file, 'a', 600, 0);
    assert_int_equal(TD_EFULL, f.sys->pwrite(f.sys, file, (td_slice){(uint8_t[500]){0}, 500}, 600));
    fill(&f, file, 'b', 600, 0); /* overwriting needs no room */
    assert_int_equal(TD_OK, f.sys->free_bytes(f.sys, ".", &left));
    assert_int_equal(400, left);
    end(&f);
}

/* Random writes, truncates and syncs against the obvious model: bytes as seen are always right, and
 * when all was synced before a cut they are the same behind it. */
static void bytes_read_back_are_those_of_a_plain_array(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fixture f = begin(seed);
        struct td_rng rng;
        static uint8_t model[8192], back[8192];
        memset(model, 0, sizeof model);
        size_t size = 0, got;
        td_rng_init(&rng, seed);
        int file = make_synced(&f, "a", 0, 0);
        for (int i = 0; i < 200; i++) {
            uint64_t at = td_rng_below(&rng, 6000), n = td_rng_below(&rng, 2000);
            if (td_rng_below(&rng, 10) == 0) {
                assert_int_equal(TD_OK, f.sys->truncate(f.sys, file, at));
                memset(model + at, 0, sizeof model - at);
                size = at;
            } else if (n > 0) {
                fill(&f, file, (uint8_t)i, n, at);
                memset(model + at, i, n);
                size = at + n > size ? at + n : size;
            }
            if (td_rng_below(&rng, 20) == 0) {
                assert_int_equal(TD_OK, f.sys->datasync(f.sys, file));
                cut(&f, SIM_CUT_ANY);
                file = make(&f, "a");
            }
            assert_int_equal(TD_OK, f.sys->pread(f.sys, file, back, sizeof back, 0, &got));
            assert_int_equal(size, got);
            assert_memory_equal(model, back, size);
        }
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_bytes_and_names_survive_every_cut),
        cmocka_unit_test(unsynced_sectors_are_kept_dropped_and_mixed_but_never_torn_inside),
        cmocka_unit_test(a_name_without_dirsync_may_be_lost_and_a_rename_is_whole),
        cmocka_unit_test(files_of_a_lost_directory_are_lost_with_it),
        cmocka_unit_test(a_dead_process_loses_its_locks_and_nothing_else),
        cmocka_unit_test(after_the_stop_nothing_reaches_the_disk),
        cmocka_unit_test(a_failed_sync_leaves_its_writes_in_doubt_for_ever),
        cmocka_unit_test(a_full_disk_says_so),
        cmocka_unit_test(bytes_read_back_are_those_of_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
