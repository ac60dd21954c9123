/* store: start. Reads what the log holds and lays it over what tandem.db and the chunks hold.
 *
 *   1. heads of all segment files, by number; from the newest's `keep` on they are the log
 *   2. each segment in order: batches not yet applied go to the tail, rows whose LSN is above the
 *      highest in their (stream, partition)'s chunks go to heads, by the code that runs live
 *   3. writing goes on in a fresh segment; if none is free, or the ring has another shape than
 *      configured, everything first goes to SQLite
 *
 * Damage is copied to damaged/, told, and never a reason not to start. */
#include <stdio.h>
#include <stdlib.h>

#include "store/impl.h"

struct found {
    struct td_segment_head head;
    char name[64];
    uint32_t slot;
    bool implied; /* its head was unreadable; number and LSN follow from its neighbours */
};

struct file {
    char name[64];
    uint32_t slot;
    uint64_t size;
    bool sound;
    struct td_segment_head head;
};

/* What the chunks of a partition already hold. */
struct sealed {
    int64_t partition;
    uint64_t *seq; /* by stream id */
    uint32_t count;
};

struct recovery {
    struct td_store *store;
    struct file *files;
    size_t file_count;
    struct found *found;
    size_t found_count;
    bool reshaped; /* files that do not fit the configured ring */
    uint64_t applied;
    struct td_chain chain;
    struct sealed *sealed;
    size_t sealed_count;
    enum td_err err;       /* of proving partitions */
    struct td_cell *cells; /* of the row being replayed; too big for the stack */
};

static void path_of(const struct td_store *store, const char *name, char out[TD_STORE_PATH_MAX])
{
    (void)snprintf(out, TD_STORE_PATH_MAX, "%s/%s", store->log.dir, name);
}

/* ---- which segments there are ---- */

static bool slot_of(td_slice name, uint32_t *slot)
{
    size_t digits = 0;
    uint32_t n = 0;
    while (digits < name.n && digits < 6 && name.p[digits] >= '0' && name.p[digits] <= '9') {
        n = n * 10 + (uint32_t)(name.p[digits++] - '0');
    }
    *slot = n;
    return digits >= 2 && td_slice_eq(td_slice_skip(name, digits), TD_STR(".tlog"));
}

void td_store_shape(struct td_sys *sys, const char *log_dir, uint32_t *segment_bytes,
                    uint32_t *segment_count)
{
    struct td_buf names;
    td_buf_init(&names, 1 << 20);
    uint32_t count = 0, slot;
    uint64_t bytes = 0;
    bool listed = sys->list(sys, log_dir, &names) == TD_OK;
    for (td_slice rest = td_buf_slice(&names); listed && rest.n > 0;) {
        td_slice name = td_slice_head(rest, td_slice_find(rest, 0));
        rest = td_slice_skip(rest, name.n + 1);
        char path[TD_STORE_PATH_MAX];
        int file;
        (void)snprintf(path, sizeof path, "%s/%s", log_dir, (const char *)name.p);
        if (slot_of(name, &slot) && sys->open(sys, path, TD_SYS_OPEN_READ, &file) == TD_OK) {
            (void)sys->size(sys, file, &bytes); /* else as the one before */
            sys->file_close(sys, file);
            count++;
        }
    }
    td_buf_fini(&names);
    if (count >= 4 && bytes >= 8192 && bytes <= 15u << 20) {
        *segment_bytes = (uint32_t)bytes;
        *segment_count = count;
    }
}

static enum td_err file_look(struct recovery *rv, td_slice name)
{
    struct td_sys *sys = rv->store->sys;
    struct file f = {.sound = false};
    if (!slot_of(name, &f.slot) || name.n >= sizeof f.name) {
        return TD_OK;
    }
    memcpy(f.name, name.p, name.n);
    char path[TD_STORE_PATH_MAX];
    path_of(rv->store, f.name, path);
    int file;
    enum td_err err = sys->open(sys, path, TD_SYS_OPEN_READ, &file);
    if (err != TD_OK) {
        return err;
    }
    uint8_t head[TD_SEGMENT_HEAD];
    size_t got = 0;
    err = sys->size(sys, file, &f.size);
    err = err == TD_OK ? sys->pread(sys, file, head, sizeof head, 0, &got) : err;
    sys->file_close(sys, file);
    f.sound = td_segment_head_decode((td_slice){head, got}, &f.head) == TD_OK;
    rv->files = td_realloc(rv->files, (rv->file_count + 1) * sizeof *rv->files);
    rv->files[rv->file_count++] = f;
    return err;
}

static enum td_err files_look(struct recovery *rv)
{
    struct td_sys *sys = rv->store->sys;
    struct td_buf names;
    td_buf_init(&names, 1 << 20);
    enum td_err err = sys->list(sys, rv->store->log.dir, &names);
    for (td_slice rest = td_buf_slice(&names); err == TD_OK && rest.n > 0;) {
        td_slice name = td_slice_head(rest, td_slice_find(rest, 0));
        rest = td_slice_skip(rest, name.n + 1);
        err = file_look(rv, name);
    }
    td_buf_fini(&names);
    return err;
}

static const struct file *file_of_number(const struct recovery *rv, uint64_t number)
{
    for (size_t i = 0; i < rv->file_count; i++) {
        if (rv->files[i].sound && rv->files[i].head.number == number) {
            return &rv->files[i];
        }
    }
    return NULL;
}

static const struct file *file_of_slot(const struct recovery *rv, uint32_t slot)
{
    for (size_t i = 0; i < rv->file_count; i++) {
        if (rv->files[i].slot == slot) {
            return &rv->files[i];
        }
    }
    return NULL;
}

static void found_add(struct recovery *rv, const struct file *f, const struct td_segment_head *head,
                      bool implied)
{
    struct found *at = &rv->found[rv->found_count++];
    *at = (struct found){.head = *head, .slot = f->slot, .implied = implied};
    memcpy(at->name, f->name, sizeof at->name);
}

/* Whether a record stands where the first one of such a segment must be. */
static bool implied_holds(const struct recovery *rv, const struct file *f,
                          const struct td_segment_head *head)
{
    char path[TD_STORE_PATH_MAX];
    struct td_buf bytes;
    struct td_segment_reader r;
    struct td_record rec;
    path_of(rv->store, f->name, path);
    td_buf_init(&bytes, UINT32_MAX);
    bool holds = false;
    if (td_segment_load(rv->store->sys, path, head->bytes, &bytes) == TD_OK) {
        td_segment_read(&r, td_buf_slice(&bytes), head, 0);
        holds = td_segment_next(&r, &rec);
    }
    td_buf_fini(&bytes);
    return holds;
}

/* A segment whose head is unreadable: its file and LSN follow from the one before. */
static void implied_add(struct recovery *rv, uint64_t number)
{
    const struct file *f = file_of_slot(rv, (uint32_t)(number % rv->file_count));
    if (rv->found_count == 0 || f == NULL || f->sound || f->size <= TD_SEGMENT_HEAD) {
        return;
    }
    const struct td_segment_head *before = &rv->found[rv->found_count - 1].head;
    const struct td_segment_head head = {.number = number,
                                         .first_lsn = before->first_lsn + before->bytes,
                                         .bytes = (uint32_t)f->size};
    if (implied_holds(rv, f, &head)) {
        found_add(rv, f, &head, true);
    }
}

static void found_fill(struct recovery *rv)
{
    const struct td_segment_head *newest = NULL;
    for (size_t i = 0; i < rv->file_count; i++) {
        const struct file *f = &rv->files[i];
        if (f->sound && (newest == NULL || f->head.number > newest->number)) {
            newest = &f->head;
        }
        if (f->size != rv->store->config.segment_bytes ||
            f->slot >= rv->store->config.segment_count ||
            (f->sound && f->head.number % rv->store->config.segment_count != f->slot)) {
            rv->reshaped = true;
        }
    }
    if (newest == NULL) {
        rv->reshaped = false; /* nothing is in them */
        return;
    }
    uint64_t keep = newest->keep > 0 ? newest->keep : newest->number;
    uint64_t most = newest->number - keep > rv->file_count ? rv->file_count : newest->number - keep;
    rv->found = td_alloc((size_t)(most + 2) * sizeof *rv->found);
    for (uint64_t n = newest->number - most; n <= newest->number; n++) {
        const struct file *f = file_of_number(rv, n);
        size_t before = rv->found_count;
        if (f != NULL) {
            found_add(rv, f, &f->head, false);
        } else {
            implied_add(rv, n);
        }
        if (f == NULL) {
            td_store_damage(rv->store, "log: segment %llu %s", (unsigned long long)n,
                            rv->found_count > before
                                ? "has an unreadable head; its records are read all the same"
                                : "is missing; what only it held is lost");
        }
    }
    size_t before = rv->found_count;
    implied_add(rv, newest->number + 1);
    if (rv->found_count > before) {
        td_store_damage(
            rv->store,
            "log: segment %llu has an unreadable head; its records are read all the same",
            (unsigned long long)newest->number + 1);
    }
}

/* ---- rows ---- */

/* Only what stays is damage: an error of the disk may be gone at the next look. */
static enum td_err part_look(const struct td_parts *parts, int64_t partition, struct td_part *out)
{
    enum { LOOKS = 3 };
    enum td_err err = TD_EIO;
    for (int i = 0; i < LOOKS && err != TD_OK && err != TD_ENOENT && err != TD_ECORRUPT; i++) {
        err = td_part_open(parts, partition * parts->days, INT64_MIN, INT64_MAX, out);
    }
    return err;
}

static uint64_t *sealed_seq(struct recovery *rv, int64_t partition, uint32_t stream)
{
    for (size_t i = 0; i < rv->sealed_count; i++) {
        if (rv->sealed[i].partition == partition) {
            return stream < rv->sealed[i].count ? &rv->sealed[i].seq[stream] : NULL;
        }
    }
    const struct td_parts *parts = &rv->store->parts;
    struct sealed s = {.partition = partition};
    struct td_part part;
    enum td_err err = td_part_prove(parts, partition * parts->days);
    rv->err = err != TD_OK ? err : rv->err;
    err = part_look(parts, partition, &part);
    if (err == TD_OK && part.count > 0) { /* refs are in order of streams */
        uint32_t most = part.refs[part.count - 1].stream;
        s.count = (most <= UINT32_MAX >> 8 ? most : UINT32_MAX >> 8) + 1;
        s.seq = td_alloc(s.count * sizeof *s.seq);
    }
    for (size_t i = 0; err == TD_OK && i < part.count; i++) {
        uint32_t id = part.refs[i].stream;
        if (id < s.count && part.refs[i].seq > s.seq[id]) {
            s.seq[id] = part.refs[i].seq;
        }
    }
    if (err == TD_OK) {
        td_part_close(&part);
    } else if (err != TD_ENOENT) {
        char path[TD_STORE_PATH_MAX];
        td_part_path(parts, partition * parts->days, path, sizeof path);
        (void)td_part_set_aside(parts, partition * parts->days, rv->store->damaged_dir);
        td_store_damage(rv->store, "hist: %s: %s; moved to %s, `sqlite3 FILE .recover` may save it",
                        path, td_err_text(err), rv->store->damaged_dir);
    }
    rv->sealed = td_realloc(rv->sealed, (rv->sealed_count + 1) * sizeof *rv->sealed);
    rv->sealed[rv->sealed_count++] = s;
    return stream < s.count ? &rv->sealed[rv->sealed_count - 1].seq[stream] : NULL;
}

/* Damage can take a definition; its rows stay readable under made-up names. */
static struct td_stream *stream_for(struct recovery *rv, const struct td_row *row)
{
    struct td_store *store = rv->store;
    struct td_stream *s = td_dict_get(&store->dict, row->stream);
    if (s == NULL || s->name.p == NULL) {
        struct td_buf value;
        uint8_t key[4];
        td_buf_init(&value, 256);
        td_dict_key(row->stream, key);
        char name[32];
        (void)snprintf(name, sizeof name, "lost/%u", (unsigned)row->stream);
        (void)td_buf_add_lump(&value, td_slice_of(name)); /* it fits */
        (void)td_buf_add_varint(&value, 0);
        (void)td_dict_decode(&store->dict, (td_slice){key, sizeof key}, td_buf_slice(&value));
        td_buf_fini(&value);
        s = td_dict_get(&store->dict, row->stream);
    }
    for (size_t i = 0; i < row->count; i++) {
        while (row->cells[i].column >= s->columns) {
            char field[32];
            uint32_t at;
            (void)snprintf(field, sizeof field, "lost%u", (unsigned)s->columns);
            (void)td_dict_column_add(&store->dict, s, td_slice_of(field), &at); /* tested by rows */
        }
    }
    return s;
}

static void rows_replay(struct recovery *rv, const struct td_record *rec)
{
    struct td_store *store = rv->store;
    struct td_cursor c = td_cursor_of(rec->payload);
    struct td_rows_state state = {0};
    struct td_row row;
    bool whole = rec->kind == TD_RECORD_HEAD_ROWS, first = true;
    while (td_rows_next(&c, &state, rv->cells, &row)) {
        size_t offset = (size_t)(c.p - rec->payload.p);
        uint64_t lsn = whole ? rec->end : rec->lsn + TD_RECORD_HEAD + offset;
        int64_t partition = row.ts < 0 ? 0 : td_hist_partition(&store->hist, row.ts);
        const uint64_t *seq = sealed_seq(rv, partition, row.stream);
        if (row.ts < 0 || (seq != NULL && lsn <= *seq)) {
            continue;
        }
        struct td_stream *s = stream_for(rv, &row);
        if (whole && first) {
            td_hist_replace(&store->hist, s, partition);
        }
        first = false;
        td_hist_add(&store->hist, s, &row, lsn, store->now);
        store->stats.recovered_rows++;
    }
    if (c.err != TD_OK) {
        td_store_damage(store, "log: a record of rows at LSN %llu ends early",
                        (unsigned long long)rec->lsn);
    }
}

/* ---- batches ---- */

static void definitions_take(struct recovery *rv, td_slice batch)
{
    struct td_cursor c = td_cursor_of(batch);
    for (struct td_op op; td_op_next(&c, &op);) {
        if (op.kind == TD_STATE_STREAM && !op.gone &&
            td_dict_decode(&rv->store->dict, op.key, op.value) != TD_OK) {
            td_store_damage(rv->store, "log: the definition of a stream cannot be read");
        }
        rv->store->stats.recovered_state++;
    }
}

static void record_replay(struct recovery *rv, const struct td_record *rec)
{
    rv->store->stats.recovered_records++;
    if (rec->kind == TD_RECORD_ROWS || rec->kind == TD_RECORD_HEAD_ROWS) {
        rows_replay(rv, rec);
        return;
    }
    uint64_t lsn;
    td_slice batch;
    if (td_chain_take(&rv->chain, rec, &lsn, &batch) && lsn >= rv->applied) {
        definitions_take(rv, batch);
        if (td_tail_add(&rv->store->tail, batch) != TD_OK) {
            td_store_damage(rv->store, "log: a batch at LSN %llu ends early",
                            (unsigned long long)lsn);
        }
    }
}

static void definition_row(void *ctx, td_slice key, td_slice value)
{
    struct recovery *rv = ctx;
    if (td_dict_decode(&rv->store->dict, key, value) != TD_OK) {
        td_store_damage(rv->store, "tandem.db: the definition of a stream cannot be read");
    }
}

/* ---- segments ---- */

static void damage_copy(struct recovery *rv, const struct found *f, td_slice bytes, uint64_t places)
{
    struct td_sys *sys = rv->store->sys;
    char path[TD_STORE_PATH_MAX];
    (void)sys->mkdir(sys, rv->store->damaged_dir); /* there already, or open says so */
    (void)snprintf(path, sizeof path, "%s/damaged/segment-%llu.tlog", rv->store->dir,
                   (unsigned long long)f->head.number);
    int file;
    enum td_err err =
        sys->open(sys, path, TD_SYS_OPEN_WRITE | TD_SYS_OPEN_CREATE | TD_SYS_OPEN_TRUNCATE, &file);
    if (err == TD_OK) {
        err = sys->pwrite(sys, file, bytes, 0);
        sys->file_close(sys, file);
    }
    td_store_damage(rv->store,
                    "log: segment %llu has %llu unreadable places; their records are lost, the "
                    "others were read; a copy %s %s",
                    (unsigned long long)f->head.number, (unsigned long long)places,
                    err == TD_OK ? "is" : "could not be put", path);
}

static enum td_err segment_replay(struct recovery *rv, size_t at, struct td_buf *bytes)
{
    const struct found *f = &rv->found[at];
    const struct found *next = at + 1 < rv->found_count ? f + 1 : NULL;
    bool last = next == NULL;
    char path[TD_STORE_PATH_MAX];
    path_of(rv->store, f->name, path);
    enum td_err err = td_segment_load(rv->store->sys, path, f->head.bytes, bytes);
    if (err != TD_OK) {
        return err;
    }
    /* Where it ends is in the next head; without one, a newer segment still shows it was left. */
    bool known = next != NULL && !next->implied && next->head.number == f->head.number + 1;
    uint64_t end = last ? 0 : known ? next->head.prev_end : UINT64_MAX;
    struct td_segment_reader r;
    struct td_record rec;
    td_segment_read(&r, td_buf_slice(bytes), &f->head, end);
    while (td_segment_next(&r, &rec)) {
        record_replay(rv, &rec);
    }
    if (r.damaged > 0) {
        damage_copy(rv, f, td_buf_slice(bytes), r.damaged);
    }
    const struct td_log_segment segment = {.first_lsn = f->head.first_lsn,
                                           .slot = f->slot,
                                           .end_lsn = f->head.first_lsn + r.limit,
                                           .bytes = f->head.bytes};
    td_log_found(&rv->store->log, f->head.number, &segment);
    rv->store->log.durable = segment.end_lsn;
    return last ? td_file_prove(rv->store->sys, path, r.limit) : TD_OK;
}

static enum td_err log_replay(struct recovery *rv)
{
    struct td_buf bytes;
    td_buf_init(&bytes, UINT32_MAX);
    enum td_err err = TD_OK;
    for (size_t i = 0; i < rv->found_count && err == TD_OK; i++) {
        err = segment_replay(rv, i, &bytes);
        err = err == TD_OK ? rv->err : err;
    }
    td_buf_fini(&bytes);
    return err;
}

/* ---- afterwards ---- */

/* The highest LSN anybody has seen: without a log, new ones must still lie above it. */
static uint64_t seq_highest(struct recovery *rv)
{
    const struct td_parts *parts = &rv->store->parts;
    uint64_t most = rv->applied;
    int64_t *days = NULL;
    size_t count = 0;
    (void)td_part_list(parts, &days, &count); /* what cannot be listed cannot be read either */
    for (size_t i = 0; i < count; i++) {
        struct td_part part;
        if (td_part_open(parts, days[i], INT64_MIN, INT64_MAX, &part) != TD_OK) {
            continue;
        }
        for (size_t j = 0; j < part.count; j++) {
            most = part.refs[j].seq > most ? part.refs[j].seq : most;
        }
        td_part_close(&part);
    }
    free(days);
    return most;
}

/* Everything goes to SQLite, then the files are made anew in the configured shape. */
static enum td_err log_reshape(struct recovery *rv)
{
    struct td_store *store = rv->store;
    enum td_err err = td_keeper_flush(&store->keeper);
    for (size_t i = 0; i < rv->file_count && err == TD_OK; i++) {
        char path[TD_STORE_PATH_MAX];
        path_of(store, rv->files[i].name, path);
        err = store->sys->unlink(store->sys, path);
    }
    return err == TD_OK ? store->sys->dirsync(store->sys, store->log.dir) : err;
}

static enum td_err ring_ready(struct recovery *rv)
{
    struct td_store *store = rv->store;
    if (rv->found_count == 0) {
        store->log.floor = (seq_highest(rv) | 4095) + 1;
        store->log.durable = 0;
    } else if (rv->reshaped) {
        enum td_err err = log_reshape(rv);
        if (err != TD_OK) {
            return err;
        }
    } else if (td_log_used(&store->log) >= store->config.segment_count) {
        (void)td_keeper_flush(&store->keeper); /* if it fails now, turns try again */
    }
    return td_log_prepare(&store->log);
}

enum td_err td_store_recover(struct td_store *store, struct td_buf *why)
{
    struct recovery rv = {.store = store};
    rv.cells = td_alloc(TD_STORE_COLUMNS_MAX * sizeof *rv.cells);
    td_chain_init(&rv.chain, UINT32_MAX);
    enum td_err err = td_state_applied(store->db, &rv.applied);
    store->keeper.applied = rv.applied;
    err = err == TD_OK ? files_look(&rv) : err;
    if (err == TD_OK) {
        found_fill(&rv);
        err = td_tail_each(&store->tail, store->db, TD_STATE_STREAM, definition_row, &rv);
    }
    err = err == TD_OK ? log_replay(&rv) : err;
    err = err == TD_OK ? ring_ready(&rv) : err;
    if (err != TD_OK) {
        (void)td_buf_printf(why,
                            "%s: %s while the log was read; check the disk, then run "
                            "`tandem doctor --data %s`",
                            store->log.dir, td_err_text(err), store->dir);
    }
    td_chain_fini(&rv.chain);
    for (size_t i = 0; i < rv.sealed_count; i++) {
        free(rv.sealed[i].seq);
    }
    free(rv.cells);
    free(rv.sealed);
    free(rv.files);
    free(rv.found);
    return err;
}
