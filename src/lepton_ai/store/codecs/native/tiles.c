/* The tiles codec (docs/format.md): weights or their differences, entropy-coded with the local scale as context.
 *
 * A block is seen as tiles of 128 numbers. Every tile states its scale; how likely a number's token is follows from that
 * scale and from the exponent of the base's number at the same place. Tokens go through rANS with interleaved states,
 * what a token leaves open is kept as raw bits.
 *
 * No allocation, no globals, no Python: entry points for ctypes, which lets go of the GIL around them. Little-endian
 * machines only. Every read of the payload is bounded; a payload that was not made by tiles_encode gives -1, or bytes
 * that fail their check above. tiles_body.h has the loops, tiles_wide.h what takes their place on processors with
 * AVX-512. Compile with -fwrapv: differences wrap; and -ffp-contract=off: scales round alike everywhere.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the kernel is for little-endian machines; the package works without it"
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))

#define TILE 128
#define LANES 32
#define PROBABILITY 12
#define TOTAL (1u << PROBABILITY)
#define SCALES 128                 /* contexts of numbers, by scale */
#define BINS 16                    /* contexts of numbers in proportional tiles, by the top of the mantissa */
#define KINDS (SCALES + BINS)      /* context of the tiles' kinds */
#define CLASSES (KINDS + 1)        /* context of the tiles' classes */
#define SHIFTS (KINDS + 2)         /* context of the tiles' trailing zeros */
#define CONTEXTS (KINDS + 3)
#define TABLES 16
#define LOWEST (1u << 15)          /* a state is never below this */
#define ZERO 254
#define ESCAPE 255
#define ESCAPED 13
#define ANCHOR 192
#define OFFSET 16
#define HEAD 20u
#define MODEL (4u * (BINS + 1))

enum { SAME = 0, SCALED = 1, PROPORTIONAL = 2 };

typedef struct {
    int width;      /* bytes of a number */
    int mantissa;   /* bits, 0 for integers */
    int exponent;   /* bits, 0 for integers */
    int bias;       /* added to an exponent to make it float32's */
} Type;

typedef struct {
    int32_t center[BINS];
    int32_t slope;
} Proportion;

/* ---- bits ------------------------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t *out, *end;
    uint64_t held;
    int count;
    int full;
} BitsOut;

static inline void put_bits(BitsOut *b, uint64_t value, int count) { /* count <= 56 */
    b->held |= value << b->count;
    b->count += count;
    if (b->count >= 8) {
        if (b->end - b->out < 8) { b->full = 1; b->count = 0; b->held = 0; return; }
        memcpy(b->out, &b->held, 8);
        int bytes = b->count >> 3;
        b->out += bytes;
        b->held = bytes == 8 ? 0 : b->held >> (bytes * 8);
        b->count &= 7;
    }
}

static inline void put_long(BitsOut *b, uint64_t value, int count) {
    if (count > 32) {
        put_bits(b, value & 0xffffffffu, 32);
        put_bits(b, value >> 32, count - 32);
    } else {
        put_bits(b, value, count);
    }
}

static void flush_bits(BitsOut *b) {
    if (b->count && b->end - b->out >= 1) { *b->out++ = (uint8_t)b->held; }
    else if (b->count) b->full = 1;
    b->count = 0;
    b->held = 0;
}

typedef struct {
    const uint8_t *data;
    uint64_t at, limit, size;  /* in bits, in bits, in bytes */
} BitsIn;

static inline uint64_t get_bits(BitsIn *b, int count) { /* count <= 56; a read beyond the end shows in at > limit */
    uint64_t byte = b->at >> 3, word;
    byte = byte < b->size ? byte : b->size;  /* eight bytes follow the last one: see decode */
    memcpy(&word, b->data + byte, 8);
    word >>= b->at & 7;
    b->at += (uint64_t)count;
    return word & ((1ull << count) - 1);
}

static inline uint64_t get_long(BitsIn *b, int count) {
    if (count <= 32) return get_bits(b, count);
    uint64_t low = get_bits(b, 32);
    return low | get_bits(b, count - 32) << 32;
}

/* ---- tokens: small values stand for themselves, of larger ones the top bits ------------------------------------- */

static inline int top_bit(uint64_t value) { return 63 - __builtin_clzll(value); }

/* values below 2^split exactly; then 2^kept tokens for each power of two */
static inline int token_of(uint64_t value, int split, int kept, int *bits) {
    if (value < (1ull << split)) { *bits = 0; return (int)value; }
    int top = top_bit(value);
    *bits = top - kept;
    return (1 << split) + ((top - split) << kept) + (int)((value >> (top - kept)) & ((1u << kept) - 1));
}

static void token_table(uint64_t *base, uint8_t *bits, int split, int kept) {
    for (int token = 0; token < 256; token++) {
        if (token < (1 << split)) { base[token] = (uint64_t)token; bits[token] = 0; continue; }
        int rest = token - (1 << split), top = split + (rest >> kept);
        if (top > 63) { base[token] = 0; bits[token] = 0; continue; }
        bits[token] = (uint8_t)(top - kept);
        base[token] = ((1ull << kept) + (uint64_t)(rest & ((1 << kept) - 1))) << (top - kept);
    }
}

#define SCALED_SPLIT 3
#define SCALED_KEPT 2
#define PROPORTIONAL_SPLIT 6
#define PROPORTIONAL_KEPT 1

/* ---- frequencies -------------------------------------------------------------------------------------------------- */

/* n * log2(n), n < 2^32, in 1/1024 bits */
static uint64_t weight_log(uint32_t n, const uint16_t *logs) {
    if (n < 2) return 0;
    int top = top_bit(n);
    uint32_t fraction = top >= 10 ? (n >> (top - 10)) & 1023 : (n << (10 - top)) & 1023;
    return (uint64_t)n * ((uint64_t)top * 1024 + logs[fraction]);
}

static uint64_t cost_of(const uint32_t *counts, int symbols, const uint16_t *logs) {
    uint64_t total = 0, parts = 0, used = 0;
    for (int s = 0; s < symbols; s++)
        if (counts[s]) { total += counts[s]; parts += weight_log(counts[s], logs); used += 6; }
    return weight_log((uint32_t)total, logs) - parts + used * 1024 + 8 * 1024;
}

/* frequencies that add up to TOTAL; every symbol that occurs has one of at least 1 and five significant bits at most */
static void normalise(const uint32_t *counts, uint16_t *freq) {
    uint64_t sum = 0;
    int best = 0;
    for (int s = 0; s < 256; s++) { sum += counts[s]; if (counts[s] > counts[best]) best = s; }
    int left = TOTAL;
    for (int s = 0; s < 256; s++) {
        freq[s] = 0;
        if (!counts[s]) continue;
        uint32_t f = (uint32_t)(((uint64_t)counts[s] * TOTAL + sum / 2) / sum);
        if (f < 1) f = 1;
        if (f >= 32 && s != best) { int cut = top_bit(f) - 4; f = (f + (1u << cut >> 1)) >> cut << cut; }
        freq[s] = (uint16_t)f;
        left -= (int)f;
    }
    while (left < 0 && freq[best] + left < 1) { /* many rare symbols: take from the largest others */
        int largest = -1;
        for (int s = 0; s < 256; s++) if (s != best && freq[s] > 1 && (largest < 0 || freq[s] > freq[largest])) largest = s;
        int take = freq[largest] / 2;
        if (take > 31) { int cut = top_bit((uint64_t)take) - 4; take = take >> cut << cut; }
        /* what stays must have five significant bits as well */
        int stays = freq[largest] - take;
        if (stays >= 32) { int cut = top_bit((uint64_t)stays) - 4; stays = stays >> cut << cut; }
        left += freq[largest] - stays;
        freq[largest] = (uint16_t)stays;
    }
    freq[best] = (uint16_t)(freq[best] + left);
}

/* a table: symbols up to the last (8 bits), the best symbol (8 bits; its frequency is what is left), then for every other
   one the change of its number of bits since the last (unary, zigzag), and up to four bits below the top one */
static void write_table(BitsOut *b, const uint32_t *counts, const uint16_t *freq) {
    int last = 0, best = 0, before = 0;
    for (int s = 0; s < 256; s++) { if (freq[s]) last = s; if (counts[s] > counts[best]) best = s; }
    put_bits(b, (uint64_t)last, 8);
    put_bits(b, (uint64_t)best, 8);
    for (int s = 0; s <= last; s++) {
        if (s == best) continue;
        int size = freq[s] ? top_bit(freq[s]) + 1 : 0;
        int change = size - before;
        int unary = change > 0 ? 2 * change - 1 : -2 * change;
        put_bits(b, 1ull << unary, unary + 1);
        if (size > 5) put_bits(b, (freq[s] >> (size - 5)) & 15, 4);
        else if (size > 1) put_bits(b, freq[s] & ((1u << (size - 1)) - 1), size - 1);
        before = size;
    }
}

static int read_table(BitsIn *b, uint16_t *freq) {
    memset(freq, 0, 256 * sizeof *freq);
    int last = (int)get_bits(b, 8), best = (int)get_bits(b, 8), size = 0, left = TOTAL;
    if (best > last) return -1;
    for (int s = 0; s <= last; s++) {
        if (s == best) continue;
        int unary = 0;
        while (!get_bits(b, 1)) if (++unary > 26 || b->at > b->limit) return -1;
        size += unary & 1 ? (unary + 1) / 2 : -(unary / 2);
        if (size < 0 || size > 12) return -1;
        if (!size) continue;
        uint32_t f = 1u << (size - 1);
        if (size > 5) f |= (uint32_t)get_bits(b, 4) << (size - 5);
        else if (size > 1) f |= (uint32_t)get_bits(b, size - 1);
        freq[s] = (uint16_t)f;
        left -= (int)f;
        if (left < 1) return -1;
    }
    freq[best] = (uint16_t)left;
    return b->at > b->limit ? -1 : 0;
}

/* ---- rANS ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t limit;  /* states from here on give a word away first */
    uint32_t reciprocal, bias;
    uint16_t complement, shift;
} Encoded;

/* Source: Fabian Giesen, "Interleaved entropy coders", 2014, arXiv:1402.3392; exact division by multiplication. */
static void prepare(Encoded *e, uint32_t start, uint32_t freq) {
    e->limit = (uint64_t)(LOWEST >> PROBABILITY << 16) * freq;
    e->complement = (uint16_t)(TOTAL - freq);
    if (freq < 2) {
        e->reciprocal = ~0u;
        e->shift = 0;
        e->bias = start + TOTAL - 1;
    } else {
        int shift = 0;
        while (freq > (1u << shift)) shift++;
        e->reciprocal = (uint32_t)(((1ull << (shift + 31)) + freq - 1) / freq);
        e->shift = (uint16_t)(shift - 1);
        e->bias = start;
    }
}

static inline uint32_t push(uint32_t state, const Encoded *e, uint16_t **out) {
    uint32_t full = 0u - (uint32_t)(state >= e->limit);
    (*out)[-1] = (uint16_t)state;
    *out -= full & 1;
    state >>= full & 16;
    uint32_t quotient = (uint32_t)(((uint64_t)state * e->reciprocal) >> 32) >> e->shift;
    return state + e->bias + quotient * e->complement;
}

/* slot -> symbol | frequency - 1 << 8 | slot - start << 20 */
static void spread(uint32_t *slots, const uint16_t *freq) {
    uint32_t slot = 0;
    for (uint32_t s = 0; s < 256; s++)
        for (uint32_t i = 0; i < freq[s]; i++) slots[slot++] = s | (uint32_t)(freq[s] - 1) << 8 | i << 20;
}

typedef struct {
    uint32_t state[LANES];
    const uint8_t *words, *end;
    const uint32_t *slots;      /* TABLES x TOTAL */
    int damaged;
} Decoder;

static inline int pull(Decoder *d, int lane, const uint32_t *slots) {
    uint32_t x = d->state[lane], entry = slots[x & (TOTAL - 1)];
    x = ((entry >> 8 & 4095) + 1) * (x >> PROBABILITY) + (entry >> 20);
    if (x < LOWEST) {
        uint16_t word = 0;
        if (d->words < d->end) { memcpy(&word, d->words, 2); d->words += 2; } else d->damaged = 1;
        x = x << 16 | word;
    }
    d->state[lane] = x;
    return (int)(entry & 255);
}

/* ---- work space ------------------------------------------------------------------------------------------------------- */

#define MOST (1u << 20)                       /* numbers of a block at most */
#define MOST_TILES (MOST / TILE)

typedef struct {
    uint32_t counts[CONTEXTS][256];
    uint32_t merged[CONTEXTS][256];
    uint16_t freq[TABLES][256];
    Encoded encoded[TABLES][256];
    uint32_t packed[TABLES][256];
    uint32_t slots[TABLES][TOTAL];
    uint16_t logs[1024];
    uint8_t table[CONTEXTS];
    uint8_t kind[MOST_TILES], class_[MOST_TILES], shift[MOST_TILES];
    uint8_t side[3 * MOST_TILES];
    uint8_t token[MOST], context[MOST];
    uint16_t words[MOST + 3 * MOST_TILES + 64];
} Work;

size_t tiles_work(void) { return sizeof(Work); }

static void make_logs(uint16_t *logs) { /* log2(1 + i / 1024) * 1024 by repeated squaring, integers only */
    if (logs[1023]) return;
    for (uint32_t i = 0; i < 1024; i++) {
        uint64_t x = (1024ull + i) << 21, result = 0;  /* 1.0 = 2^31 */
        for (int bit = 0; bit < 10; bit++) {
            x = (x * x) >> 31;
            result <<= 1;
            if (x >= 1ull << 32) { result |= 1; x >>= 1; }
        }
        logs[i] = (uint16_t)result;
    }
}

/* neighbouring contexts share a table where that costs less than a table more; returns the number of tables */
static int cluster(Work *w) {
    int first[CONTEXTS], count = 0;
    uint64_t cost[CONTEXTS], both[CONTEXTS];
    for (int c = 0; c < CONTEXTS; c++) {
        uint32_t any = 0;
        for (int s = 0; s < 256; s++) any |= w->counts[c][s];
        if (!any) continue;
        memcpy(w->merged[count], w->counts[c], sizeof w->merged[0]);
        first[count] = c;
        cost[count++] = cost_of(w->counts[c], 256, w->logs);
    }
    uint32_t sum[256];
#define JOIN(i) \
    do { \
        if (first[(i) + 1] >= KINDS) both[i] = UINT64_MAX; \
        else { \
            for (int s = 0; s < 256; s++) sum[s] = w->merged[i][s] + w->merged[(i) + 1][s]; \
            both[i] = cost_of(sum, 256, w->logs); \
        } \
    } while (0)
    for (int i = 0; i + 1 < count; i++) JOIN(i);
    while (count > 1) {
        int best = -1;
        int64_t gain = INT64_MIN;
        for (int i = 0; i + 1 < count; i++) {
            if (both[i] == UINT64_MAX) continue;
            int64_t g = (int64_t)(cost[i] + cost[i + 1]) - (int64_t)both[i];
            if (g > gain) { gain = g; best = i; }
        }
        if (best < 0 || (gain <= 0 && count <= TABLES)) break;
        for (int s = 0; s < 256; s++) w->merged[best][s] += w->merged[best + 1][s];
        cost[best] = both[best];
        for (int i = best + 1; i + 1 < count; i++) {
            memcpy(w->merged[i], w->merged[i + 1], sizeof w->merged[0]);
            first[i] = first[i + 1];
            cost[i] = cost[i + 1];
            both[i] = both[i + 1];
        }
        count--;
        if (best + 1 < count) JOIN(best);
        if (best > 0) JOIN(best - 1);
    }
    int table = 0;
    for (int c = 0; c < CONTEXTS; c++) {
        while (table + 1 < count && first[table + 1] <= c) table++;
        w->table[c] = (uint8_t)table;
    }
    for (int t = 0; t < count; t++) {
        normalise(w->merged[t], w->freq[t]);
        uint32_t start = 0;
        for (int s = 0; s < 256; s++)
            if (w->freq[t][s]) {
                prepare(&w->encoded[t][s], start, w->freq[t][s]);
                w->packed[t][s] = start | (uint32_t)w->freq[t][s] << PROBABILITY;
                start += w->freq[t][s];
            }
    }
    return count;
}

static inline float as_float(uint32_t bits) { float f; memcpy(&f, &bits, 4); return f; }
static inline uint32_t float_bits(float f) { uint32_t bits; memcpy(&bits, &f, 4); return bits; }

static inline uint32_t clamp_exponent(int32_t e) { return (uint32_t)(e < 1 ? 1 : e > 150 ? 150 : e); }

#include "tiles_wide.h"

#define FUNCTION ALWAYS_INLINE
#define IS_WIDE 0
#define WORD uint32_t
#define SIGNED int32_t
#define NAME(x) x##_32
#include "tiles_body.h"
#undef WORD
#undef SIGNED
#undef NAME
#define WORD uint64_t
#define SIGNED int64_t
#define NAME(x) x##_64
#include "tiles_body.h"
#ifdef HAS_WIDE
#undef FUNCTION
#undef IS_WIDE
#undef WORD
#undef SIGNED
#undef NAME
#define FUNCTION WIDE
#define IS_WIDE 1
#define WORD uint32_t
#define SIGNED int32_t
#define NAME(x) x##_32_wide
#include "tiles_body.h"
#endif

/* ---- entry points --------------------------------------------------------------------------------------------------- */

static int type_of(int width, int mantissa, int exponent, Type *t) {
    t->width = width;
    t->mantissa = mantissa;
    t->exponent = exponent;
    t->bias = 0;
    if (width != 1 && width != 2 && width != 4 && width != 8) return -1;
    if (!mantissa && !exponent) return 0;
    if (mantissa < 2 || exponent < 2 || exponent > 11 || 1 + mantissa + exponent != 8 * width) return -1;
    t->bias = 127 - ((1 << (exponent - 1)) - 1);
    return 0;
}

#ifdef HAS_WIDE
static int can_wide(Type t) { return t.width < 8 && t.mantissa <= 23 && tiles_wide(); }

static WITH_WIDE int64_t encode_wide(
    const uint8_t *plain, const uint8_t *base, uint32_t n, Type t, uint8_t *out, uint64_t room, Work *w) {
    if (t.mantissa == 7) return encode_32_wide(plain, base, n, (Type){2, 7, 8, 0}, out, room, w);
    if (t.mantissa == 23) return encode_32_wide(plain, base, n, (Type){4, 23, 8, 0}, out, room, w);
    return encode_32_wide(plain, base, n, t, out, room, w);
}

static WITH_WIDE int decode_wide(
    const uint8_t *payload, uint64_t size, const uint8_t *base, uint32_t n, Type t, uint8_t *plain, Work *w) {
    if (t.mantissa == 7) return decode_32_wide(payload, size, base, n, (Type){2, 7, 8, 0}, plain, w);
    if (t.mantissa == 23) return decode_32_wide(payload, size, base, n, (Type){4, 23, 8, 0}, plain, w);
    return decode_32_wide(payload, size, base, n, t, plain, w);
}
#endif

/* bytes of the payload; 0 when it would not be shorter than `room`, which is what `out` holds; -1 for arguments that
   cannot be. `base` may be NULL for floats. `work` is tiles_work() bytes, zero at first, for one thread. `narrow`: with
   the loops that every processor can, even if this one could do better. */
int64_t tiles_encode(const uint8_t *plain, const uint8_t *base, uint64_t numbers, int width, int mantissa, int exponent,
                     uint8_t *out, uint64_t room, void *work, int narrow) {
    Type t;
    if (type_of(width, mantissa, exponent, &t) || numbers < 1 || numbers > MOST || (!base && !exponent)) return -1;
    uint32_t n = (uint32_t)numbers;
#ifdef HAS_WIDE
    if (!narrow && can_wide(t)) return encode_wide(plain, base, n, t, out, room, work);
#endif
    (void)narrow;
    if (mantissa == 7) return encode_32(plain, base, n, (Type){2, 7, 8, 0}, out, room, work);
    if (mantissa == 23) return encode_32(plain, base, n, (Type){4, 23, 8, 0}, out, room, work);
    if (width == 8) return encode_64(plain, base, n, t, out, room, work);
    return encode_32(plain, base, n, t, out, room, work);
}

/* 0, or -1 when the payload is damaged or its base is (not) given */
int tiles_decode(const uint8_t *payload, uint64_t size, const uint8_t *base, uint64_t numbers, int width, uint8_t *plain,
                 void *work, int narrow) {
    Type t;
    if (size < HEAD || type_of(width, payload[2], payload[3], &t) || numbers < 1 || numbers > MOST) return -1;
    if (!base && !t.exponent) return -1;
    uint32_t n = (uint32_t)numbers;
#ifdef HAS_WIDE
    if (!narrow && can_wide(t)) return decode_wide(payload, size, base, n, t, plain, work);
#endif
    (void)narrow;
    if (t.mantissa == 7) return decode_32(payload, size, base, n, (Type){2, 7, 8, 0}, plain, work);
    if (t.mantissa == 23) return decode_32(payload, size, base, n, (Type){4, 23, 8, 0}, plain, work);
    if (width == 8) return decode_64(payload, size, base, n, t, plain, work);
    return decode_32(payload, size, base, n, t, plain, work);
}
