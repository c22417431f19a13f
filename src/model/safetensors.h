/* safetensors.h - read one .safetensors file: where each tensor lies, and its bytes.
 *
 * Layout: 8 bytes little-endian n, n bytes of JSON {"name": {"dtype", "shape", "data_offsets"},
 * ..., "__metadata__": {string: string}}, then the data.  Offsets count from the end of the JSON.
 *
 * The file is not trusted.  Refused: n beyond the file or over SAFETENSORS_HEADER_MAX, text that is
 * not strict JSON, a name twice or not printable, an unknown dtype, more than SAFETENSORS_DIMS_MAX
 * dimensions, a size that is not dtype x shape, ranges outside the file, ranges that overlap, gaps
 * and unused bytes at the end (the format forbids them; a file that has them was cut, joined or
 * tampered with).
 *
 * The data is read with pread: a file that is cut while it is mapped would end the process by
 * SIGBUS.
 * One thread per file.
 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "model/faults.h"

#include <stdbool.h>
#include <stdint.h>

#define SAFETENSORS_HEADER_MAX ((uint64_t)100 << 20) // bytes of JSON
#define SAFETENSORS_TENSORS_MAX 200000               // tensors in one file
#define SAFETENSORS_DIMS_MAX 8
#define SAFETENSORS_PREFIX_BYTES 8

enum tensor_dtype {
    TENSOR_F32,
    TENSOR_BF16,
    TENSOR_F16,
    TENSOR_F64,
    TENSOR_BOOL,
    TENSOR_I8,
    TENSOR_U8,
    TENSOR_I16,
    TENSOR_U16,
    TENSOR_I32,
    TENSOR_U32,
    TENSOR_I64,
    TENSOR_U64,
    TENSOR_F8_E4M3,
    TENSOR_F8_E5M2,
    TENSOR_F8_E8M0,
    TENSOR_F6_E2M3,
    TENSOR_F6_E3M2,
    TENSOR_F4,
    TENSOR_C64,
    TENSOR_DTYPE_COUNT
};

struct tensor {
    const char *name; // in the arena, NUL terminated, no NUL inside
    enum tensor_dtype dtype;
    uint32_t n_dims;
    uint64_t dims[SAFETENSORS_DIMS_MAX];
    uint64_t offset; // of the first byte, from the start of the file
    uint64_t n_bytes;
    uint32_t file_idx; // set by the folder reader (checkpoint.h)
};

/** "BF16". */
const char *safetensors_dtype_name(enum tensor_dtype t);
/** Bits of one element (4 and 6 bit types exist). */
uint32_t safetensors_dtype_bits(enum tensor_dtype t);
/** "[896, 96]" into text[n]; cut when too long. */
void safetensors_shape_text(const struct tensor *t, char *text, size_t n);

/**
 * Length of the JSON from the first 8 bytes of a file of `file_bytes`.
 * Errors: INVALID (file shorter than 8 bytes, length 0, beyond the file or over the limit).
 */
MUST_USE enum status safetensors_header_bytes(const uint8_t prefix[SAFETENSORS_PREFIX_BYTES],
                                              uint64_t file_bytes, uint64_t *ret_bytes,
                                              struct error *err);

/**
 * Read the JSON of a file of `file_bytes`.  Every fault is added to `faults` under `where`.
 *
 * json         must stay valid during the call only
 * ret_tensors  in the arena, ordered by offset; written when OK
 * Errors: the first fault's status (INVALID, LIMIT, NO_MEMORY).  Pure.
 */
MUST_USE enum status safetensors_parse(struct arena *arena, struct str json, uint64_t file_bytes,
                                       const char *where, struct faults *faults,
                                       struct tensor **ret_tensors, uint32_t *ret_n_tensors);

struct safetensors; // one open file

/**
 * Open and read the header.  All faults are added to `faults` under the file's base name.
 * The tensors live in the arena; *ret_file must be closed.
 */
MUST_USE enum status safetensors_open(const char *path, struct arena *arena, struct faults *faults,
                                      struct safetensors **ret_file);
void safetensors_close(struct safetensors *f);
const struct tensor *safetensors_tensors(const struct safetensors *f, uint32_t *ret_n);
/** Base name of the file. */
const char *safetensors_name(const struct safetensors *f);
uint64_t safetensors_file_bytes(const struct safetensors *f);
/**
 * Read `n_bytes` of a tensor of this file from byte `begin` of it on.
 * Errors: IO (errno text), INVALID (the file became shorter).
 */
MUST_USE enum status safetensors_read(const struct safetensors *f, const struct tensor *t,
                                      uint64_t begin, uint64_t n_bytes, void *ret_bytes,
                                      struct error *err);
/** Errors: INVALID when inode, size or modification time differ from when the header was read. */
MUST_USE enum status safetensors_check_unchanged(const struct safetensors *f, struct error *err);

#endif
