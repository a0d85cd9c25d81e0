/* The inner loops for processors with AVX-512 (VBMI, VBMI2): 16 numbers at a time, with the same results to the bit.

   For whole tiles of numbers of up to four bytes, with 32 states; whatever is rarer is left to the plain loops. */

#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 9)
#define HAS_WIDE 1
#include <immintrin.h>

#define WITH_WIDE \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt")))
#define WIDE ALWAYS_INLINE WITH_WIDE
#define GROUP 16
#define MOST_BITS 25               /* of one number, so that those of 16 lie in 64 bytes, and each in four of them */

/* whether this processor can */
int tiles_wide(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

/* which table each of 64 contexts uses */
typedef struct { __m512i low, high, top; } WideTables;

static WIDE WideTables wide_tables(const uint8_t *table) {
    WideTables t = {_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64),
                    _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(table + 128)))};
    return t;
}

static WIDE __m512i wide_table(const WideTables *t, __m512i context) {
    __m512i found = _mm512_permutex2var_epi8(t->low, context, t->high);
    return _mm512_mask_permutexvar_epi8(found, _mm512_movepi8_mask(context), context, t->top);
}

/* twice the exponent and the top bit of the mantissa, as NAME(high) */
static WIDE __m512i wide_high(__m512i y, Type t) {
    if (!t.exponent) return _mm512_set1_epi32(254);
    __m512i magnitude = _mm512_and_si512(y, _mm512_set1_epi32((int)((1u << (8 * t.width - 1)) - 1)));
    return _mm512_add_epi32(_mm512_srli_epi32(magnitude, (unsigned)t.mantissa - 1), _mm512_set1_epi32(2 * t.bias));
}

static WIDE __m512i wide_context(__m512i y, Type t, int scale) {
    __m512i c = _mm512_sub_epi32(_mm512_set1_epi32(scale + OFFSET), wide_high(y, t));
    return _mm512_min_epi32(_mm512_max_epi32(c, _mm512_setzero_si512()), _mm512_set1_epi32(SCALES - 1));
}

static WIDE __m512i wide_difference(__m512i x, __m512i y, int width) {
    unsigned spare = 32 - 8 * (unsigned)width;
    return _mm512_srai_epi32(_mm512_slli_epi32(_mm512_sub_epi32(x, y), spare), spare);
}

static WIDE __m512i wide_exponent(__m512i y, Type t) {
    __m512i e = _mm512_and_si512(_mm512_srli_epi32(y, (unsigned)t.mantissa), _mm512_set1_epi32((1 << t.exponent) - 1));
    return e;
}

static WIDE __m512i wide_clamped(__m512i e, Type t) {
    e = _mm512_add_epi32(e, _mm512_set1_epi32(t.bias));
    e = _mm512_min_epi32(_mm512_max_epi32(e, _mm512_set1_epi32(1)), _mm512_set1_epi32(150));
    return _mm512_slli_epi32(e, 23);
}

/* eight sums in the order of the plain loop, so that they round alike */
static WIDE __m256 wide_add(__m256 part, __m512 values) {
    part = _mm256_add_ps(part, _mm512_castps512_ps256(values));
    return _mm256_add_ps(part, _mm512_extractf32x8_ps(values, 1));
}

static WIDE float wide_sum(__m256 part) {
    float parts[8], sum = 0;
    _mm256_storeu_ps(parts, part);
    for (int i = 0; i < 8; i++) sum += parts[i];
    return sum;
}

static WIDE int wide_judge(const uint32_t *x, const uint32_t *y, Type t, int based, int *scale, int *shift) {
    __m512i any = _mm512_setzero_si512();
    __m256 part = _mm256_setzero_ps();
    *scale = *shift = 0;
    if (!based) {
        for (int i = 0; i < TILE; i += GROUP) {
            __m512i v = _mm512_loadu_si512(x + i), e = wide_exponent(v, t);
            any = _mm512_or_si512(any, v);
            __m512i fraction = _mm512_slli_epi32(_mm512_and_si512(v, _mm512_set1_epi32((1 << t.mantissa) - 1)), 23 - (unsigned)t.mantissa);
            __m512i value = _mm512_maskz_or_epi32(_mm512_test_epi32_mask(e, e), wide_clamped(e, t), fraction);
            part = wide_add(part, _mm512_castsi512_ps(value));
        }
        uint32_t all = (uint32_t)_mm512_reduce_or_epi32(any);
        if (!all) return SAME;
        *shift = __builtin_ctzll((uint64_t)all | 1ull << (t.mantissa - 2));
        *scale = (int)(float_bits(wide_sum(part) / (float)TILE) >> 22);
        return SCALED;
    }
    __m512i d0 = wide_difference(_mm512_loadu_si512(x), _mm512_loadu_si512(y), t.width), least = d0, most = d0;
    for (int i = 0; i < TILE; i += GROUP) {
        __m512i b = _mm512_loadu_si512(y + i), d = wide_difference(_mm512_loadu_si512(x + i), b, t.width);
        any = _mm512_or_si512(any, d);
        least = _mm512_min_epi32(least, d);
        most = _mm512_max_epi32(most, d);
        __m512 size = _mm512_cvtepi32_ps(_mm512_abs_epi32(d));
        if (t.exponent) size = _mm512_mul_ps(size, _mm512_castsi512_ps(wide_clamped(wide_exponent(b, t), t)));
        part = wide_add(part, size);
    }
    uint32_t bits = (uint32_t)_mm512_reduce_or_epi32(any);
    if (!bits) return SAME;
    if (t.mantissa >= 7) {
        int32_t low = _mm512_reduce_min_epi32(least), high = _mm512_reduce_max_epi32(most), bound = 1 << 28;
        if ((high < 0 && low > -bound && -low <= -high * 2 - high / 4 + 2) ||
            (low > 0 && high < bound && high <= low * 2 + low / 4 + 2))
            return PROPORTIONAL;
    }
    *shift = __builtin_ctzll((uint64_t)bits);
    float sum = wide_sum(part);
    sum /= (float)(1ull << *shift);
    *scale = (int)(float_bits(sum / (float)TILE) >> 22);
    return SCALED;
}

/* put `number` (up to eight) values of at most 57 bits each; there is room */
static WIDE void wide_store(BitsOut *b, __m512i values, __m512i bits, int number) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i ends = _mm512_add_epi64(bits, _mm512_alignr_epi64(bits, zero, 7));
    ends = _mm512_add_epi64(ends, _mm512_alignr_epi64(ends, zero, 6));
    if (number > 4) ends = _mm512_add_epi64(ends, _mm512_alignr_epi64(ends, zero, 4));
    ends = _mm512_add_epi64(ends, _mm512_set1_epi64(b->count));
    __m512i from = _mm512_and_si512(_mm512_sub_epi64(ends, bits), _mm512_set1_epi64(7));
    uint64_t value[8], end[9];
    _mm512_storeu_si512(value, _mm512_sllv_epi64(values, from));
    _mm512_storeu_si512(end + 1, ends);
    end[0] = 0;
    uint64_t held = b->held;
    for (int i = 0; i < number; i++) {
        held |= value[i];
        memcpy(b->out + (end[i] >> 3), &held, 8);
        held >>= 8 * ((end[i + 1] >> 3) - (end[i] >> 3));  /* fewer than eight bytes */
    }
    b->out += end[number] >> 3;
    b->held = held;
    b->count = (int)(end[number] & 7);
}

/* put 16 values of `bits` bits each, at most `most`, which is at most 28 */
static WIDE void wide_put(BitsOut *b, __m512i values, __m512i bits, int most) {
    const __m512i low = _mm512_set1_epi64(0xffffffff);
    __m512i count = _mm512_and_si512(bits, low), counts = _mm512_add_epi64(count, _mm512_srli_epi64(bits, 32));
    __m512i pairs = _mm512_or_si512(_mm512_and_si512(values, low), _mm512_sllv_epi64(_mm512_srli_epi64(values, 32), count));
    if (most > 14) {
        wide_store(b, pairs, counts, 8);
        return;
    }
    __m512i second = _mm512_sllv_epi64(_mm512_unpackhi_epi64(pairs, pairs), _mm512_unpacklo_epi64(counts, counts));
    __m512i fours = _mm512_or_si512(pairs, second), sums = _mm512_add_epi64(counts, _mm512_unpackhi_epi64(counts, counts));
    wide_store(b, _mm512_maskz_compress_epi64(0x55, fours), _mm512_maskz_compress_epi64(0x55, sums), 4);
}

#define WIDE_ROOM (TILE * 4 + 8)

/* tokens and raw bits of a tile without a base; 0 when it has numbers that only the plain loop can do, and nothing was done */
static WIDE int wide_tokens(const uint32_t *x, Type t, int scale, int shift, uint8_t *token, BitsOut *raw) {
    int low = t.mantissa - 2, size = 1 + low - shift;
    __m512i magnitude_bits = _mm512_set1_epi32((int)((1u << (8 * t.width - 1)) - 1)), low_bits = _mm512_set1_epi32((1 << low) - 1);
    __m512i shifted = _mm512_set1_epi32(4 * t.bias - 2 * scale + ANCHOR);
    __mmask16 escaped = 0;
    for (int i = 0; i < TILE; i += GROUP) {
        __m512i v = _mm512_loadu_si512(x + i);
        __m512i code = _mm512_add_epi32(_mm512_srli_epi32(_mm512_and_si512(v, magnitude_bits), (unsigned)low), shifted);
        __mmask16 there = _mm512_test_epi32_mask(v, v);
        escaped |= _mm512_mask_cmp_epu32_mask(there, code, _mm512_set1_epi32(ZERO), _MM_CMPINT_NLT);
        code = _mm512_mask_mov_epi32(_mm512_set1_epi32(ZERO), there, code);
        _mm_storeu_si128((__m128i *)(token + i), _mm512_cvtepi32_epi8(code));
    }
    if (escaped) return 0;
    for (int i = 0; i < TILE; i += GROUP) {
        __m512i v = _mm512_loadu_si512(x + i), magnitude = _mm512_and_si512(v, magnitude_bits);
        __mmask16 there = _mm512_test_epi32_mask(v, v);
        __m512i rest = _mm512_slli_epi32(_mm512_srli_epi32(_mm512_and_si512(magnitude, low_bits), (unsigned)shift), 1);
        rest = _mm512_or_si512(rest, _mm512_srli_epi32(v, 8 * (unsigned)t.width - 1));
        wide_put(raw, _mm512_maskz_mov_epi32(there, rest), _mm512_maskz_set1_epi32(there, size), size);
    }
    return 1;
}

/* tokens and raw bits of a tile's values; 0 when one is too large */
static WIDE int wide_split(const __m512i *values, uint32_t all, int split, int kept, uint8_t *token, BitsOut *raw) {
    if (all < 1u << split) {
        for (int i = 0; i < TILE / GROUP; i++)
            _mm_storeu_si128((__m128i *)(token + i * GROUP), _mm512_cvtepi32_epi8(values[i]));
        return 1;
    }
    if (all >> 28) return 0;
    int most = top_bit(all) - kept;
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i z = values[i], bits = _mm512_sub_epi32(_mm512_set1_epi32(31 - kept), _mm512_lzcnt_epi32(z));
        __mmask16 big = _mm512_cmp_epu32_mask(z, _mm512_set1_epi32(1 << split), _MM_CMPINT_NLT);
        bits = _mm512_maskz_mov_epi32(big, bits);
        /* 2^split + (top - split) * 2^kept + the kept bits below the top one, which itself is 2^kept */
        __m512i base = _mm512_add_epi32(
            _mm512_slli_epi32(bits, (unsigned)kept), _mm512_set1_epi32((1 << split) - ((split - kept + 1) << kept)));
        __m512i found = _mm512_mask_add_epi32(z, big, base, _mm512_srlv_epi32(z, bits));
        _mm_storeu_si128((__m128i *)(token + i * GROUP), _mm512_cvtepi32_epi8(found));
        wide_put(raw, _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), bits), z), bits, most);
    }
    return 1;
}

static WIDE __m512i wide_zigzag(__m512i d) { return _mm512_xor_si512(_mm512_slli_epi32(d, 1), _mm512_srai_epi32(d, 31)); }

/* the same for a tile of differences, with contexts */
static WIDE int wide_changes(
    const uint32_t *x, const uint32_t *y, Type t, int scale, int shift, uint8_t *token, uint8_t *context, BitsOut *raw) {
    __m512i values[TILE / GROUP], all = _mm512_setzero_si512();
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i b = _mm512_loadu_si512(y + i * GROUP), d = wide_difference(_mm512_loadu_si512(x + i * GROUP), b, t.width);
        _mm_storeu_si128((__m128i *)(context + i * GROUP), _mm512_cvtepi32_epi8(wide_context(b, t, scale)));
        values[i] = wide_zigzag(_mm512_srai_epi32(d, (unsigned)shift));
        all = _mm512_or_si512(all, values[i]);
    }
    return wide_split(values, (uint32_t)_mm512_reduce_or_epi32(all), SCALED_SPLIT, SCALED_KEPT, token, raw);
}

static WIDE __m512i wide_bin(__m512i y, Type t) {
    return _mm512_and_si512(_mm512_srli_epi32(y, (unsigned)t.mantissa - 4), _mm512_set1_epi32(BINS - 1));
}

static WIDE __m512i wide_expected(__m512i y, Type t, const Proportion *p) {
    int low = t.mantissa - 4, cut = low > 16 ? low - 16 : 0;
    __m512i part = _mm512_srli_epi32(_mm512_and_si512(y, _mm512_set1_epi32((1 << low) - 1)), (unsigned)cut);
    __m512i slope = _mm512_set1_epi32(p->slope), center = _mm512_permutexvar_epi32(wide_bin(y, t), _mm512_loadu_si512(p->center));
    __m512i even = _mm512_srai_epi64(_mm512_mul_epi32(part, slope), (unsigned)(low - cut));
    __m512i odd = _mm512_srai_epi64(_mm512_mul_epi32(_mm512_srli_epi64(part, 32), slope), (unsigned)(low - cut));
    return _mm512_add_epi32(center, _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32)));
}

static WIDE void wide_bins(const uint32_t *y, Type t, uint8_t *context) {
    for (int i = 0; i < TILE; i += GROUP) {
        __m512i bin = _mm512_add_epi32(wide_bin(_mm512_loadu_si512(y + i), t), _mm512_set1_epi32(SCALES));
        _mm_storeu_si128((__m128i *)(context + i), _mm512_cvtepi32_epi8(bin));
    }
}

/* the same for a tile that moved in proportion */
static WIDE int wide_proportional(
    const uint32_t *x, const uint32_t *y, Type t, const Proportion *p, uint8_t *token, uint8_t *context, BitsOut *raw) {
    __m512i values[TILE / GROUP], all = _mm512_setzero_si512();
    wide_bins(y, t, context);
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i b = _mm512_loadu_si512(y + i * GROUP), d = wide_difference(_mm512_loadu_si512(x + i * GROUP), b, t.width);
        values[i] = wide_zigzag(_mm512_sub_epi32(d, wide_expected(b, t, p)));
        all = _mm512_or_si512(all, values[i]);
    }
    return wide_split(values, (uint32_t)_mm512_reduce_or_epi32(all), PROPORTIONAL_SPLIT, PROPORTIONAL_KEPT, token, raw);
}

/* what proportional tiles are like, by the top five bits of the mantissa */
static WIDE void wide_sums(const uint32_t *x, const uint32_t *y, Type t, int64_t *sum, int64_t *count) {
    int32_t change[TILE];
    uint8_t bin[TILE];
    for (int i = 0; i < TILE; i += GROUP) {
        __m512i b = _mm512_loadu_si512(y + i);
        _mm512_storeu_si512(change + i, wide_difference(_mm512_loadu_si512(x + i), b, t.width));
        b = _mm512_and_si512(_mm512_srli_epi32(b, (unsigned)t.mantissa - 5), _mm512_set1_epi32(2 * BINS - 1));
        _mm_storeu_si128((__m128i *)(bin + i), _mm512_cvtepi32_epi8(b));
    }
    for (int i = 0; i < TILE; i++) {
        sum[bin[i]] += change[i];
        count[bin[i]]++;
    }
}

/* push `count` symbols, a multiple of 32, the last one first */
static WIDE uint16_t *wide_push(
    uint32_t *state, const uint32_t *packed, const uint8_t *table, const uint8_t *context, const uint8_t *token, uint32_t count, uint16_t *at) {
    WideTables tables = wide_tables(table);
    __m512i low = _mm512_loadu_si512(state), high = _mm512_loadu_si512(state + GROUP);
    for (uint32_t k = count; k; k -= LANES) {
        __m512i found = wide_table(&tables, _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(context + k - LANES))));
        __m512i which = _mm512_slli_epi16(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(found)), 8);
        which = _mm512_or_si512(which, _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(token + k - LANES))));
        for (int half = 1; half >= 0; half--) {
            __m512i x = half ? high : low;
            __m512i i = _mm512_cvtepu16_epi32(half ? _mm512_extracti64x4_epi64(which, 1) : _mm512_castsi512_si256(which));
            __m512i entry = _mm512_i32gather_epi32(i, packed, 4);
            __m512i freq = _mm512_srli_epi32(entry, PROBABILITY), start = _mm512_and_si512(entry, _mm512_set1_epi32(TOTAL - 1));
            __m512 reciprocal = _mm512_div_ps(_mm512_set1_ps(1.0f - 0x1p-22f), _mm512_cvtepi32_ps(freq));
            __mmask16 full = _mm512_cmp_epu32_mask(x, _mm512_slli_epi32(freq, 19), _MM_CMPINT_NLT);
            unsigned words = (unsigned)__builtin_popcount(full);
            __m256i out = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, x));
            at -= words;
            _mm256_mask_storeu_epi16(at, (__mmask16)((1u << words) - 1), out);
            /* A quotient that is at most one too small: below 2^19, by a reciprocal that is too small by 2^-22. */
            x = _mm512_mask_srli_epi32(x, full, x, 16);
            __m512i q = _mm512_cvttps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(x), reciprocal));
            __m512i r = _mm512_sub_epi32(x, _mm512_mullo_epi32(q, freq));
            __mmask16 over = _mm512_cmp_epi32_mask(r, freq, _MM_CMPINT_NLT);
            x = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(q, PROBABILITY), r), start);
            x = _mm512_mask_add_epi32(x, over, x, _mm512_sub_epi32(_mm512_set1_epi32(TOTAL), freq));
            if (half) high = x; else low = x;
        }
    }
    _mm512_storeu_si512(state, low);
    _mm512_storeu_si512(state + GROUP, high);
    return at;
}

/* a whole tile's tokens; there are words enough for it */
static WIDE void wide_pull(Decoder *d, const WideTables *tables, const uint8_t *context, uint8_t *token) {
    __m512i low = _mm512_loadu_si512(d->state), high = _mm512_loadu_si512(d->state + GROUP);
    const __m512i slot = _mm512_set1_epi32(TOTAL - 1), lowest = _mm512_set1_epi32(LOWEST);
    const uint8_t *words = d->words;
    for (int k = 0; k < TILE; k += LANES) {
        __m256i found = _mm512_castsi512_si256(
            wide_table(tables, _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(context + k)))));
        __m512i i = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(found)), PROBABILITY);
        __m512i j = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(found, 1)), PROBABILITY);
        __m512i e = _mm512_i32gather_epi32(_mm512_or_si512(i, _mm512_and_si512(low, slot)), d->slots, 4);
        __m512i f = _mm512_i32gather_epi32(_mm512_or_si512(j, _mm512_and_si512(high, slot)), d->slots, 4);
        _mm_storeu_si128((__m128i *)(token + k), _mm512_cvtepi32_epi8(e));
        _mm_storeu_si128((__m128i *)(token + k + GROUP), _mm512_cvtepi32_epi8(f));
        __m512i m = _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(e, 8), slot), _mm512_set1_epi32(1));
        low = _mm512_add_epi32(_mm512_mullo_epi32(m, _mm512_srli_epi32(low, PROBABILITY)), _mm512_srli_epi32(e, 20));
        m = _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(f, 8), slot), _mm512_set1_epi32(1));
        high = _mm512_add_epi32(_mm512_mullo_epi32(m, _mm512_srli_epi32(high, PROBABILITY)), _mm512_srli_epi32(f, 20));
        __mmask16 few = _mm512_cmp_epu32_mask(low, lowest, _MM_CMPINT_LT), less = _mm512_cmp_epu32_mask(high, lowest, _MM_CMPINT_LT);
        const uint8_t *next = words + 2 * __builtin_popcount(few);
        __m512i w = _mm512_maskz_expand_epi32(few, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)words)));
        low = _mm512_mask_or_epi32(low, few, _mm512_slli_epi32(low, 16), w);
        w = _mm512_maskz_expand_epi32(less, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)next)));
        high = _mm512_mask_or_epi32(high, less, _mm512_slli_epi32(high, 16), w);
        words = next + 2 * __builtin_popcount(less);
    }
    d->words = words;
    _mm512_storeu_si512(d->state, low);
    _mm512_storeu_si512(d->state + GROUP, high);
}

static WIDE __m512i wide_prefix(__m512i bits) { /* sums up to and with each lane */
    const __m512i zero = _mm512_setzero_si512();
    bits = _mm512_add_epi32(bits, _mm512_alignr_epi32(bits, zero, 15));
    bits = _mm512_add_epi32(bits, _mm512_alignr_epi32(bits, zero, 14));
    bits = _mm512_add_epi32(bits, _mm512_alignr_epi32(bits, zero, 12));
    return _mm512_add_epi32(bits, _mm512_alignr_epi32(bits, zero, 8));
}

/* 16 values of `bits` bits each, at most MOST_BITS; 64 bytes can be read */
static WIDE __m512i wide_get(BitsIn *b, __m512i bits) {
    __m512i data = _mm512_loadu_si512(b->data + (b->at >> 3)), ends = wide_prefix(bits);
    __m512i at = _mm512_add_epi32(_mm512_sub_epi32(ends, bits), _mm512_set1_epi32((int)(b->at & 7)));
    __m512i bytes = _mm512_add_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(at, 3), _mm512_set1_epi32(0x01010101)), _mm512_set1_epi32(0x03020100));
    __m512i values = _mm512_srlv_epi32(_mm512_permutexvar_epi8(bytes, data), _mm512_and_si512(at, _mm512_set1_epi32(7)));
    b->at += (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(_mm512_alignr_epi32(ends, ends, 15)));
    return _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), bits), values);
}

/* a tile's numbers without a base from its tokens; 0 when only the plain loop can do it */
static WIDE int wide_numbers(uint32_t *x, const uint8_t *token, Type t, int scale, int shift, BitsIn *raw) {
    int low = t.mantissa - 2, size = 1 + low - shift;
    __m512i escape = _mm512_set1_epi8((char)ESCAPE);
    if (raw->at + (uint64_t)(TILE * size) > raw->limit ||
        _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(token), escape) | _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(token + 64), escape))
        return 0;
    __m512i first = _mm512_set1_epi32(2 * scale - 4 * t.bias - ANCHOR), sizes = _mm512_set1_epi32(size);
    for (int i = 0; i < TILE; i += GROUP) {
        __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(token + i)));
        __mmask16 there = _mm512_cmpneq_epi32_mask(code, _mm512_set1_epi32(ZERO));
        __m512i rest = wide_get(raw, _mm512_maskz_mov_epi32(there, sizes));
        __m512i v = _mm512_slli_epi32(_mm512_add_epi32(code, first), (unsigned)low);
        v = _mm512_or_si512(v, _mm512_slli_epi32(_mm512_srli_epi32(rest, 1), (unsigned)shift));
        v = _mm512_or_si512(v, _mm512_slli_epi32(_mm512_and_si512(rest, _mm512_set1_epi32(1)), 8 * (unsigned)t.width - 1));
        _mm512_storeu_si512(x + i, _mm512_maskz_mov_epi32(there, v));
    }
    return 1;
}

static WIDE __m512i wide_unzigzag(__m512i z) {
    __m512i sign = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_and_si512(z, _mm512_set1_epi32(1)));
    return _mm512_xor_si512(_mm512_srli_epi32(z, 1), sign);
}

/* a tile's values from its tokens; 0 when only the plain loop can do it */
static WIDE int wide_joined(__m512i *values, const uint8_t *token, int split, int kept, BitsIn *raw) {
    __m512i both = _mm512_max_epu8(_mm512_loadu_si512(token), _mm512_loadu_si512(token + 64));
    for (int i = 0; i < TILE / GROUP; i++) values[i] = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(token + i * GROUP)));
    if (!_mm512_cmp_epu8_mask(both, _mm512_set1_epi8((char)(1 << split)), _MM_CMPINT_NLT)) return 1;
    int first = split - kept;  /* bits of the first large token */
    int most = (1 << split) + ((MOST_BITS + 1 - first) << kept);
    if (_mm512_cmp_epu8_mask(both, _mm512_set1_epi8((char)most), _MM_CMPINT_NLT)) return 0;
    __m512i sizes[TILE / GROUP], sum = _mm512_setzero_si512();
    __mmask16 big[TILE / GROUP];
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i rest = _mm512_sub_epi32(values[i], _mm512_set1_epi32(1 << split));
        __m512i bits = _mm512_add_epi32(_mm512_srli_epi32(rest, (unsigned)kept), _mm512_set1_epi32(first));
        big[i] = _mm512_cmp_epu32_mask(values[i], _mm512_set1_epi32(1 << split), _MM_CMPINT_NLT);
        sizes[i] = _mm512_maskz_mov_epi32(big[i], bits);
        sum = _mm512_add_epi32(sum, sizes[i]);
    }
    if (raw->at + (uint32_t)_mm512_reduce_add_epi32(sum) > raw->limit) return 0;
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i z = values[i], top = _mm512_and_si512(z, _mm512_set1_epi32((1 << kept) - 1));
        top = _mm512_sllv_epi32(_mm512_or_si512(top, _mm512_set1_epi32(1 << kept)), sizes[i]);
        values[i] = _mm512_add_epi32(_mm512_mask_mov_epi32(z, big[i], top), wide_get(raw, sizes[i]));
    }
    return 1;
}

/* the same from a base */
static WIDE int wide_changed(uint32_t *x, const uint32_t *y, const uint8_t *token, int shift, BitsIn *raw) {
    __m512i values[TILE / GROUP];
    if (!wide_joined(values, token, SCALED_SPLIT, SCALED_KEPT, raw)) return 0;
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i d = _mm512_slli_epi32(wide_unzigzag(values[i]), (unsigned)shift);
        _mm512_storeu_si512(x + i * GROUP, _mm512_add_epi32(_mm512_loadu_si512(y + i * GROUP), d));
    }
    return 1;
}

/* the same where all moved in proportion */
static WIDE int wide_moved(uint32_t *x, const uint32_t *y, const uint8_t *token, Type t, const Proportion *p, BitsIn *raw) {
    __m512i values[TILE / GROUP];
    if (!wide_joined(values, token, PROPORTIONAL_SPLIT, PROPORTIONAL_KEPT, raw)) return 0;
    for (int i = 0; i < TILE / GROUP; i++) {
        __m512i b = _mm512_loadu_si512(y + i * GROUP), d = _mm512_add_epi32(wide_unzigzag(values[i]), wide_expected(b, t, p));
        _mm512_storeu_si512(x + i * GROUP, _mm512_add_epi32(b, d));
    }
    return 1;
}

static WIDE void wide_contexts(uint8_t *context, const uint32_t *y, Type t, int scale) {
    for (int i = 0; i < TILE; i += GROUP)
        _mm_storeu_si128((__m128i *)(context + i), _mm512_cvtepi32_epi8(wide_context(_mm512_loadu_si512(y + i), t, scale)));
}

#else
int tiles_wide(void) { return 0; }
#endif
