/* store: partition files, hist/<class>-<start day>.<gen>.db, SQLite files of chunks.
 *
 *   meta(key, value)
 *   stream(id, name, tags)  col(stream, id, name, type, unit)     so a file is readable alone
 *   chunk(id, stream, t0, t1, n, seq, head, data)                 append-only
 *   grp(id, t0, t1, dir)   one a transaction; dir := (varint id - before, zz stream - before,
 *                          zz t0 - before, varint t1 - t0, varint n, zz seq - before)*
 *   dirty(stream, hour)    hours whose rollups are to be made anew
 *
 * There is no index: `grp` is the directory. One thread writes (CHUNK), one reads (QUERY); they
 * take turns by the gate, held for one transaction or one batch of reads, so SQLite's own locks
 * have nothing to do. */
#ifndef TD_STORE_PART_H
#define TD_STORE_PART_H

#include "store/chunk.h"
#include "store/db.h"
#include "store/hist.h"

/* Where partition files are and how to get at them. */
struct td_parts {
    struct td_vfs *vfs;
    const char *dir; /* data/hist */
    sqlite3_mutex *gate;
    uint32_t days; /* a partition's span */
};

struct td_chunk_ref {
    int64_t id;
    uint32_t stream, n;
    int64_t t0, t1;
    uint64_t seq;
};

/* The file's path, NUL-terminated; `start` is its first day since 1970. */
void td_part_path(const struct td_parts *parts, int64_t start, char *out, size_t size);
/* From a name as the directory gives it. False: it is no partition file. */
bool td_part_name(td_slice name, int64_t *start_day);
/* Partition files as first days, ascending; free() the array. A missing directory is empty. */
enum td_err td_part_list(const struct td_parts *parts, int64_t **days, size_t *count);

/* ---- writing ---- */

struct td_part_written {
    uint64_t chunks, bytes;
};

/* Writes all runs of one partition (those before `upto`) in one transaction, marks them written. */
enum td_err td_part_write(const struct td_parts *parts, int64_t partition, struct td_run *runs,
                          struct td_part_written *out);
/* Deletes files that end before `before`. */
enum td_err td_part_expire(const struct td_parts *parts, td_wall before);

/* At a start: what the last process committed to a file is on the disk then. The last word of a
 * commit is the journal's head made zero; if that is in the system's cache only, a power cut rolls
 * the commit back. */
enum td_err td_part_prove(const struct td_parts *parts, int64_t start_day);

/* Moves a file that SQLite cannot read to `damaged`, with its journal. */
enum td_err td_part_set_aside(const struct td_parts *parts, int64_t start_day, const char *damaged);

/* ---- reading ---- */

struct td_part {
    int64_t start_day;
    sqlite3 *db;
    sqlite3_stmt *load;
    struct td_chunk_ref *refs; /* by stream, then t0, then seq */
    size_t count;
};

/* Opens a file and reads its directory. `from`..`to` (inclusive) may leave out groups. */
enum td_err td_part_open(const struct td_parts *parts, int64_t start_day, td_wall from, td_wall to,
                         struct td_part *out);
void td_part_close(struct td_part *part);
/* The refs of a stream: *count of them from the result on. */
const struct td_chunk_ref *td_part_stream(const struct td_part *part, uint32_t stream,
                                          size_t *count);
/* Loads and decodes one chunk; hold the gate. */
enum td_err td_part_load(struct td_part *part, const struct td_chunk_ref *ref,
                         struct td_block **out);

#endif
