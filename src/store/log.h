/* store: the ring of segments and group commit.
 *
 *   append -> gather: bytes + extents ---- due ----> write: the same, swapped --work--> disk
 *               ^ the next batch gathers meanwhile          COMMIT lane: head, data, sync
 *
 * An LSN is given when a record is staged, so the place in the ring is decided there; what does not
 * fit into a segment goes to the next. Segment number N uses file N % count; a commit stops before
 * a segment whose file still holds what nobody has released. Order inside a commit that changes
 * segments: data of the old one, sync, head of the new one, sync, its data, sync. So a head never
 * names an end that is not there.
 *
 * The first failed write or sync ends it: durable never moves again. */
#ifndef TD_STORE_LOG_H
#define TD_STORE_LOG_H

#include "store/segment.h"
#include "sys/sys.h"

enum { TD_LOG_PATH_MAX = 1024 };

/* A segment in use. */
struct td_log_segment {
    uint64_t first_lsn;
    uint64_t end_lsn;   /* behind its last record */
    uint64_t chain_end; /* where a batch that goes on in the next segment ends; 0: none does */
    uint32_t bytes;
    uint32_t slot; /* its file's number */
};

/* A run of staged bytes in one segment. */
struct td_log_extent {
    uint64_t segment;
    uint32_t offset;
    size_t from, to; /* in the batch's bytes */
    bool enter;      /* its segment begins here: write `head` first */
    struct td_segment_head head;
};

struct td_log_batch {
    struct td_buf bytes;
    struct td_log_extent *extents;
    size_t count, cap;
};

struct td_log {
    struct td_work work; /* first: the seam gives it back */
    struct td_sys *sys;
    char *dir; /* data/log */
    uint32_t segment_bytes, count, commit_bytes, staged_max;
    struct td_log_segment *segments; /* number % segment_cap */
    size_t segment_cap;
    uint64_t first, last; /* numbers in use; first > last: none */
    uint64_t floor;       /* the first segment of all begins above this LSN */
    uint64_t at;          /* the next LSN to stage, in segment `last` */
    bool entered;         /* false after a start: the next record begins a segment */
    struct td_log_batch gather, write;
    size_t open_record; /* where in gather an open record stands + 1; 0: none */
    uint8_t open_kind;
    uint64_t piece_lsn; /* where the open piece of this commit began; 0: none is open */
    td_mono due;
    uint64_t durable;
    bool busy, failed;
    enum td_err err; /* of the work */
    char failure[256];
    int *files; /* by N % count, -1: not open; the COMMIT lane's after the start */
    uint64_t commits, commit_bytes_total, records;
};

/* Takes over `dir` (copied). Nothing is opened yet. */
void td_log_init(struct td_log *log, struct td_sys *sys, const char *dir, uint32_t segment_bytes,
                 uint32_t count, uint32_t commit_bytes, uint32_t staged_max);
/* Closes files unless `crashed`. */
void td_log_fini(struct td_log *log, bool crashed);
/* The path of a segment's file, NUL-terminated, into out. */
void td_log_path(const struct td_log *log, uint32_t slot, char *out, size_t size);
/* Makes files that are missing or have another size: zeros, synced; then syncs all names. */
enum td_err td_log_prepare(struct td_log *log);
/* While starting: a segment found on the disk, in order of numbers. */
void td_log_found(struct td_log *log, uint64_t number, const struct td_log_segment *segment);

/* Appends a record (payload up to td_log_payload_max()); gives the LSN behind it. */
uint64_t td_log_append(struct td_log *log, uint8_t kind, td_slice payload, td_mono due);
size_t td_log_payload_max(const struct td_log *log);
/* Makes the open record one of `kind` that can take `need` more bytes; true: it is a new one. It
 * stays open until something else is appended or a commit starts. */
bool td_log_open(struct td_log *log, uint8_t kind, size_t need);
/* Adds to the open record; gives the LSN behind these bytes. */
uint64_t td_log_extend(struct td_log *log, td_slice bytes, td_mono due);
/* The LSN of the next record. */
uint64_t td_log_next(const struct td_log *log);
/* The batch whose parts began at LSN `from` ends at `end`: segments it crosses remember that. */
void td_log_chain(struct td_log *log, uint64_t from, uint64_t end);

/* Starts a commit if one is due (or `now_all`) and can be. */
void td_log_turn(struct td_log *log, td_mono now, bool now_all);
td_mono td_log_deadline(const struct td_log *log);
bool td_log_idle(const struct td_log *log); /* nothing staged, nothing under way */
size_t td_log_staged(const struct td_log *log);
/* Segments in use, those only staged included. */
uint64_t td_log_used(const struct td_log *log);
/* A commit waits for a segment to be released. */
bool td_log_blocked(const struct td_log *log);
const struct td_log_segment *td_log_segment(const struct td_log *log, uint64_t number);
/* Nobody needs records before `lsn` any more. */
void td_log_release(struct td_log *log, uint64_t lsn);
void td_log_fail(struct td_log *log, const char *what, enum td_err err);

#endif
