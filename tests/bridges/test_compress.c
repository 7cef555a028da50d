/* SPDX-License-Identifier: MIT */
/* Six libraries that compress, on every host: there and back again, with each allocation failing once. */
#include <stdio.h>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>

#include <brotli/decode.h>
#include <brotli/encode.h>

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#define LZ4F_STATIC_LINKING_ONLY
#include <lz4frame.h>

#include <hostmalloc/bridges/compress.h>

#include "over_hosts.h"

#define PLAIN  60000u
#define PACKED 100000u

_Static_assert(_Generic(&hm_zlib_alloc, alloc_func : 1), "zlib's own type");
_Static_assert(_Generic(&hm_compress_free, free_func : 1), "zlib's own type");
_Static_assert(_Generic(&hm_brotli_alloc, brotli_alloc_func : 1), "brotli's own type");
_Static_assert(_Generic(&hm_zstd_alloc, ZSTD_allocFunction : 1), "zstd's own type");
_Static_assert(_Generic(&hm_lz4_alloc_zeroed, LZ4F_CallocFunction : 1), "lz4's own type");

static unsigned char plain[PLAIN], packed[PACKED], back[PLAIN];

/* What came back is what went in; the digest is of what was in between. */
static uint64_t answer(size_t packed_size, int done)
{
    if (!done) {
        return 0;
    }
    assert_memory_equal(plain, back, PLAIN);
    memset(back, 0, sizeof(back));
    return work_digest(WORK_DIGEST, packed, packed_size);
}

static uint64_t with_zlib(hm_malloc *m)
{
    z_stream out = {0}, in = {0};
    int done = 0;
    if (m) {
        hm_zlib_use(&out, m);
        hm_zlib_use(&in, m);
    }
    out.next_in = plain;
    out.avail_in = PLAIN;
    out.next_out = packed;
    out.avail_out = PACKED;
    in.next_in = packed;
    in.next_out = back;
    in.avail_out = PLAIN;
    if (deflateInit(&out, 9) == Z_OK) {
        done = deflate(&out, Z_FINISH) == Z_STREAM_END;
        deflateEnd(&out);
    }
    in.avail_in = (uInt)out.total_out;
    if (done) {
        done = inflateInit(&in) == Z_OK;
        if (done) {
            done = inflate(&in, Z_FINISH) == Z_STREAM_END;
            inflateEnd(&in);
        }
    }
    return answer(out.total_out, done);
}

static uint64_t with_bzip2(hm_malloc *m)
{
    bz_stream out = {0}, in = {0};
    int done = 0;
    if (m) {
        hm_bzip2_use(&out, m);
        hm_bzip2_use(&in, m);
    }
    out.next_in = (char *)plain;
    out.avail_in = PLAIN;
    out.next_out = (char *)packed;
    out.avail_out = PACKED;
    in.next_in = (char *)packed;
    in.next_out = (char *)back;
    in.avail_out = PLAIN;
    if (BZ2_bzCompressInit(&out, 2, 0, 0) == BZ_OK) {
        done = BZ2_bzCompress(&out, BZ_FINISH) == BZ_STREAM_END;
        BZ2_bzCompressEnd(&out);
    }
    in.avail_in = out.total_out_lo32;
    if (done) {
        done = BZ2_bzDecompressInit(&in, 0, 0) == BZ_OK;
        if (done) {
            done = BZ2_bzDecompress(&in) == BZ_STREAM_END;
            BZ2_bzDecompressEnd(&in);
        }
    }
    return answer(out.total_out_lo32, done);
}

static uint64_t with_xz(hm_malloc *m)
{
    const lzma_allocator allocator =
        m ? hm_xz_allocator(m) : (lzma_allocator){NULL, NULL, NULL};
    uint64_t limit = UINT64_MAX;
    size_t size = 0, read = 0, written = 0;
    int done = lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, m ? &allocator : NULL, plain,
                                       PLAIN, packed, &size, PACKED) == LZMA_OK;
    done =
        done && lzma_stream_buffer_decode(&limit, 0, m ? &allocator : NULL, packed, &read,
                                          size, back, &written, PLAIN) == LZMA_OK;
    return answer(size, done);
}

/* Packs with @p for_encoder and unpacks with @p for_decoder. */
static uint64_t brotli(hm_malloc *for_encoder, hm_malloc *for_decoder)
{
    BrotliEncoderState *const out =
        BrotliEncoderCreateInstance(for_encoder ? hm_brotli_alloc : NULL,
                                    for_encoder ? hm_compress_free : NULL, for_encoder);
    BrotliDecoderState *in = NULL;
    const uint8_t *next_in = plain;
    uint8_t *next_out = packed;
    size_t in_left = PLAIN, out_left = PACKED, size = 0;
    int done = out != NULL;
    if (done) {
        BrotliEncoderSetParameter(out, BROTLI_PARAM_QUALITY, 5);
        done = BrotliEncoderCompressStream(out, BROTLI_OPERATION_FINISH, &in_left,
                                           &next_in, &out_left, &next_out, NULL) &&
               BrotliEncoderIsFinished(out);
        size = PACKED - out_left;
        BrotliEncoderDestroyInstance(out);
    }
    if (done) {
        in = BrotliDecoderCreateInstance(for_decoder ? hm_brotli_alloc : NULL,
                                         for_decoder ? hm_compress_free : NULL,
                                         for_decoder);
        done = in != NULL;
    }
    if (done) {
        next_in = packed;
        next_out = back;
        in_left = size;
        out_left = PLAIN;
        done = BrotliDecoderDecompressStream(in, &in_left, &next_in, &out_left, &next_out,
                                             NULL) == BROTLI_DECODER_RESULT_SUCCESS;
        BrotliDecoderDestroyInstance(in);
    }
    return answer(size, done);
}

static uint64_t with_brotli(hm_malloc *m)
{
    return brotli(m, m);
}

static uint64_t with_brotli_decoder(hm_malloc *m)
{
    return brotli(NULL, m);
}

static uint64_t with_zstd(hm_malloc *m)
{
    const ZSTD_customMem mem = m ? hm_zstd_mem(m) : ZSTD_defaultCMem;
    ZSTD_CCtx *const out = ZSTD_createCCtx_advanced(mem);
    ZSTD_DCtx *in = NULL;
    size_t size = 0;
    int done = out != NULL;
    if (done) {
        size = ZSTD_compressCCtx(out, packed, PACKED, plain, PLAIN, 5);
        done = !ZSTD_isError(size);
        ZSTD_freeCCtx(out);
    }
    if (done) {
        in = ZSTD_createDCtx_advanced(mem);
        done = in && ZSTD_decompressDCtx(in, back, PLAIN, packed, size) == PLAIN;
        ZSTD_freeDCtx(in);
    }
    return answer(size, done);
}

static uint64_t with_lz4(hm_malloc *m)
{
    const LZ4F_CustomMem mem = m ? hm_lz4_mem(m) : LZ4F_defaultCMem;
    LZ4F_cctx *const out = LZ4F_createCompressionContext_advanced(mem, LZ4F_VERSION);
    LZ4F_dctx *in = NULL;
    LZ4F_preferences_t preferences = {.compressionLevel = 9};
    size_t size = 0, end = 0, in_size, out_size = PLAIN;
    int done = out != NULL;
    if (done) {
        size = LZ4F_compressBegin(out, packed, PACKED, &preferences);
        done = !LZ4F_isError(size);
    }
    if (done) {
        end = LZ4F_compressUpdate(out, packed + size, PACKED - size, plain, PLAIN, NULL);
        done = !LZ4F_isError(end);
        size += done ? end : 0;
    }
    if (done) {
        end = LZ4F_compressEnd(out, packed + size, PACKED - size, NULL);
        done = !LZ4F_isError(end);
        size += done ? end : 0;
    }
    LZ4F_freeCompressionContext(out);
    if (done) {
        in = LZ4F_createDecompressionContext_advanced(mem, LZ4F_VERSION);
        in_size = size;
        done = in && LZ4F_decompress(in, back, &out_size, packed, &in_size, NULL) == 0 &&
               out_size == PLAIN;
        LZ4F_freeDecompressionContext(in);
    }
    return answer(size, done);
}

static void compress__there_and_back(void **state)
{
    static const struct {
        const char *label;
        piece_of_work *work;
        uint32_t flags;
    } cases[] = {{"zlib", with_zlib, 0},
                 {"bzip2", with_bzip2, 0},
                 {"xz", with_xz, 0},
                 {"brotli", with_brotli, WORK_NOT_FAILED}, /* its encoder exits */

                 {"brotli decoder", with_brotli_decoder, 0},
                 {"zstd", with_zstd, 0},
                 {"lz4", with_lz4, 0}};
    (void)state;
    work_fill(plain, sizeof(plain));
    for (size_t i = 0; i < COUNT(cases); i++) {
        work_everywhere(cases[i].label, cases[i].work, cases[i].flags);
    }
}

/* Workers of zstd allocate, and free what others allocated. */
static uint64_t with_workers(hm_malloc *m)
{
    ZSTD_CCtx *const out =
        ZSTD_createCCtx_advanced(m ? hm_zstd_mem(m) : ZSTD_defaultCMem);
    size_t size = 0;
    int done = out != NULL;
    if (done) {
        done = !ZSTD_isError(ZSTD_CCtx_setParameter(out, ZSTD_c_nbWorkers, 2));
        size = ZSTD_compress2(out, packed, PACKED, plain, PLAIN);
        done = done && !ZSTD_isError(size) &&
               ZSTD_decompress(back, PLAIN, packed, size) == PLAIN;
        ZSTD_freeCCtx(out);
    }
    return answer(size, done);
}

static void compress__workers(void **state)
{
    (void)state;
    work_fill(plain, sizeof(plain));
    work_everywhere("zstd with workers", with_workers, HM_MALLOC_THREADSAFE);
}

static void compress__hostile_sizes(void **state)
{
    hm_host *host;
    hm_malloc *m;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "sizes", 0, &m, NULL), HM_OK);
    assert_null(hm_xz_alloc(m, SIZE_MAX, 2));
    assert_null(hm_xz_alloc(m, 3, SIZE_MAX / 2));
    assert_null(hm_bzip2_alloc(m, -1, 10));
    assert_null(hm_bzip2_alloc(m, 10, -1));
    assert_null(hm_zstd_alloc(m, SIZE_MAX));
    assert_null(hm_lz4_alloc_zeroed(m, SIZE_MAX));
    void *const empty = hm_xz_alloc(m, 0, 0);
    assert_non_null(empty);
    hm_compress_free(m, empty);
    hm_compress_free(m, NULL);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(compress__there_and_back),
        cmocka_unit_test(compress__workers),
        cmocka_unit_test(compress__hostile_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
