/* store: rows of streams in a span of time, from chunks and from RAM, as one.
 *
 * A snapshot holds what was in RAM when the question was asked: references to blocks, no copies. A
 * scan walks partition by partition, in each stream by stream, in each the rows in order of ts.
 * Pieces (chunks and runs in RAM) that overlap in time are merged as a group: of rows with the same
 * ts the one with the higher LSN stands. A chunk that was written after the snapshot is skipped:
 * its rows are in the snapshot. */
#ifndef TD_STORE_SCAN_H
#define TD_STORE_SCAN_H

#include "store/part.h"

/* ---- snapshot: made and freed by the loop's thread ---- */

struct td_snap_stream {
    const struct td_stream *stream; /* id and name only */
    const td_slice *fields;
    uint32_t columns;
};

struct td_snap_run {
    uint32_t stream;
    int64_t partition;
    struct td_block *block;
    uint32_t from, to;
};

struct td_snapshot {
    struct td_snap_stream *streams; /* by id; none if only one was asked for */
    uint32_t stream_count;
    struct td_snap_run *runs; /* by partition, stream, then in order of LSN */
    size_t run_count;
};

/* Of one stream, or of all (`only` NULL). */
void td_snapshot_take(struct td_snapshot *snap, const struct td_dict *dict,
                      const struct td_hist *hist, const struct td_stream *only);
void td_snapshot_free(struct td_snapshot *snap);

/* ---- scan: on the thread of the question ---- */

enum { TD_SCAN_PARTS = 8 };

/* Open partition files, kept between scans of one question. */
struct td_reader {
    const struct td_parts *parts;
    const struct td_snapshot *snap;
    int64_t *days; /* all partition files */
    size_t day_count;
    struct td_part open[TD_SCAN_PARTS];
    uint64_t used[TD_SCAN_PARTS], uses;
    uint64_t damaged; /* chunks and files that could not be read */
    size_t bytes_max; /* of one group in RAM */
};

/* Lists the partition files. What it is given outlives it. TD_EIO. */
enum td_err td_reader_init(struct td_reader *r, const struct td_parts *parts,
                           const struct td_snapshot *snap, size_t bytes_max);
void td_reader_fini(struct td_reader *r);

struct td_scan_row {
    uint32_t stream;
    td_wall ts;
    const struct td_block *block;
    uint32_t row;
};

struct td_scan_place {
    td_wall ts;
    uint32_t piece, row;
};

struct td_scan_piece {
    int64_t t0, t1;
    uint64_t order; /* of equal ts the highest stands */
    bool in_file;
    struct td_chunk_ref ref; /* if it is in the file */
    struct td_block *block;
    uint32_t from, to;
};

struct td_scan {
    struct td_reader *reader;
    const uint32_t *streams; /* ids, ascending; NULL: all */
    size_t stream_count;
    td_wall from, to;    /* inclusive */
    int64_t *partitions; /* first days, ascending */
    size_t partition_count, partition_at;
    size_t stream_at;
    struct td_scan_piece *pieces; /* of this partition and stream, by t0 */
    size_t piece_count, piece_cap, piece_at;
    struct td_scan_place *places; /* of the open group */
    size_t place_count, place_at;
    size_t group_first, group_end; /* its pieces */
};

/* from <= ts <= to. The ids are borrowed. */
void td_scan_init(struct td_scan *scan, struct td_reader *reader, const uint32_t *streams,
                  size_t stream_count, td_wall from, td_wall to);
void td_scan_fini(struct td_scan *scan);
/* The next row; borrowed until the next call. TD_ENOENT: the end. TD_EFULL: a group is over
 * bytes_max. Damaged chunks are counted and left out. */
enum td_err td_scan_next(struct td_scan *scan, struct td_scan_row *out);

#endif
