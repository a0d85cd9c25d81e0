/* The codec for numbers of up to four bytes (WORD is uint32_t) and of eight (uint64_t). */

static FUNCTION void NAME(load_tile)(WORD *values, const uint8_t *from, int count, int width) {
    switch (width) {
    case 1: for (int i = 0; i < count; i++) values[i] = from[i]; break;
    case 2: for (int i = 0; i < count; i++) { uint16_t v; memcpy(&v, from + 2 * i, 2); values[i] = v; } break;
    case 4: for (int i = 0; i < count; i++) { uint32_t v; memcpy(&v, from + 4 * i, 4); values[i] = (WORD)v; } break;
    default: for (int i = 0; i < count; i++) { uint64_t v; memcpy(&v, from + 8 * i, 8); values[i] = (WORD)v; }
    }
}

static FUNCTION void NAME(store_tile)(uint8_t *to, const WORD *values, int count, int width) {
    switch (width) {
    case 1: for (int i = 0; i < count; i++) to[i] = (uint8_t)values[i]; break;
    case 2: for (int i = 0; i < count; i++) { uint16_t v = (uint16_t)values[i]; memcpy(to + 2 * i, &v, 2); } break;
    case 4: for (int i = 0; i < count; i++) { uint32_t v = (uint32_t)values[i]; memcpy(to + 4 * i, &v, 4); } break;
    default: for (int i = 0; i < count; i++) { uint64_t v = (uint64_t)values[i]; memcpy(to + 8 * i, &v, 8); }
    }
}

/* twice the exponent as float32 has it, plus the top bit of the mantissa; for integers the same as for 1.0 */
static inline int32_t NAME(high)(WORD y, Type t) {
    if (!t.exponent) return 254;
    WORD magnitude = y & (((WORD)1 << (8 * t.width - 1)) - 1);
    return (int32_t)(magnitude >> (t.mantissa - 1)) + 2 * t.bias;
}

static inline int NAME(bin)(WORD y, Type t) { return (int)(y >> (t.mantissa - 4)) & (BINS - 1); }

/* what the base's mantissa says of the difference in a proportional tile */
static inline SIGNED NAME(expected)(WORD y, Type t, const Proportion *p) {
    int low = t.mantissa - 4, cut = low > 16 ? low - 16 : 0;
    int64_t part = (int64_t)((y & (((WORD)1 << low) - 1)) >> cut);
    return (SIGNED)(p->center[NAME(bin)(y, t)] + (((int64_t)p->slope * part) >> (low - cut)));
}

static inline SIGNED NAME(difference)(WORD x, WORD y, int width) {
    int spare = 8 * (int)sizeof(WORD) - 8 * width;
    return (SIGNED)((WORD)(x - y) << spare) >> spare;
}

static inline WORD NAME(zigzag)(SIGNED d) { return ((WORD)d << 1) ^ (WORD)(d >> (8 * sizeof(WORD) - 1)); }
static inline SIGNED NAME(unzigzag)(WORD z) { return (SIGNED)((z >> 1) ^ (0 - (z & 1))); }

/* numbers in the places of a float's exponent and mantissa, as a float32 of about the same value */
static inline float NAME(value)(WORD x, Type t) {
    WORD fraction = x & (((WORD)1 << t.mantissa) - 1);
    int32_t e = (int32_t)((x >> t.mantissa) & (((WORD)1 << t.exponent) - 1));
    uint32_t top = t.mantissa > 23 ? (uint32_t)((uint64_t)fraction >> (t.mantissa > 23 ? t.mantissa - 23 : 0))
                                   : (uint32_t)fraction << (23 - t.mantissa);
    return e ? as_float(clamp_exponent(e + t.bias) << 23 | top) : 0.0f;
}

static inline float NAME(unit)(WORD y, Type t) {
    int32_t e = (int32_t)((y >> t.mantissa) & (((WORD)1 << t.exponent) - 1));
    return as_float(clamp_exponent(e + t.bias) << 23);
}

/* what kind of tile it is; its scale in half octaves, its trailing zeros */
static FUNCTION int NAME(judge)(const WORD *x, const WORD *y, int count, Type t, int based, int *scale, int *shift) {
    WORD any = 0;
    float sum = 0;
    *scale = *shift = 0;
    if (!based) {
        for (int i = 0; i < count; i++) any |= x[i];
        if (!any) return SAME;
        float part[8] = {0};
        for (int i = 0; i < count; i++) part[i & 7] += NAME(value)(x[i], t);
        for (int i = 0; i < 8; i++) sum += part[i];
        int low = t.mantissa - 2;
        *shift = __builtin_ctzll((uint64_t)any | 1ull << low);
        *scale = (int)(float_bits(sum / (float)count) >> 22);
        return SCALED;
    }
    for (int i = 0; i < count; i++) any |= x[i] ^ y[i];
    if (!any) return SAME;
    SIGNED d[TILE], least = 0, most = 0;
    WORD bits = 0;
    for (int i = 0; i < count; i++) {
        d[i] = NAME(difference)(x[i], y[i], t.width);
        bits |= (WORD)d[i];
        least = d[i] < least || !i ? d[i] : least;
        most = d[i] > most || !i ? d[i] : most;
    }
    int32_t bound = 1 << 28;
    if (t.mantissa >= 7 && ((most < 0 && least > -bound && -least <= -most * 2 - most / 4 + 2) ||
                            (least > 0 && most < bound && most <= least * 2 + least / 4 + 2)))
        return PROPORTIONAL;
    *shift = __builtin_ctzll((uint64_t)bits);
    float part[8] = {0};  /* eight sums, because one would be a chain of additions */
    for (int i = 0; i < count; i++) {
        SIGNED a = d[i] < 0 ? -d[i] : d[i];
        part[i & 7] += (float)a * (t.exponent ? NAME(unit)(y[i], t) : 1.0f);
    }
    for (int i = 0; i < 8; i++) sum += part[i];
    sum /= (float)(1ull << *shift);
    *scale = (int)(float_bits(sum / (float)count) >> 22);
    return SCALED;
}

typedef struct {
    int64_t sum[BINS][2];
    int64_t count[BINS][2];
} NAME(Sums);

static void NAME(fit)(const NAME(Sums) *s, Proportion *p) {
    int64_t slopes[BINS];
    int found = 0;
    for (int b = 0; b < BINS; b++) {
        int64_t low = s->count[b][0], high = s->count[b][1];
        p->center[b] = low + high ? (int32_t)((s->sum[b][0] + s->sum[b][1]) / (low + high)) : 0;
        if (low && high) slopes[found++] = 2 * (s->sum[b][1] / high - s->sum[b][0] / low);
    }
    for (int i = 1; i < found; i++)
        for (int k = i; k && slopes[k - 1] > slopes[k]; k--) { int64_t x = slopes[k]; slopes[k] = slopes[k - 1]; slopes[k - 1] = x; }
    p->slope = found ? (int32_t)slopes[found / 2] : 0;
    for (int b = 0; b < BINS; b++) p->center[b] -= p->slope / 2;  /* the slope begins at the bin's lower end */
}

static FUNCTION int64_t NAME(encode)(const uint8_t *plain, const uint8_t *base, uint32_t n, Type t, uint8_t *out, uint64_t room, Work *w) {
    uint32_t tiles = (n + TILE - 1) / TILE, side = 0, symbols = 0;
    int based = base != NULL, lanes = n >= 8192 ? LANES : 4, highest = 0, proportional = 0;
    WORD x[TILE], y[TILE];
    NAME(Sums) sums;
    Proportion p;
    memset(&sums, 0, sizeof sums);
    memset(&p, 0, sizeof p);
    memset(y, 0, sizeof y);
    memset(w->counts, 0, sizeof w->counts);
    memset(w->merged, 0, sizeof w->merged);
    make_logs(w->logs);
    uint16_t *scales = w->words;  /* not needed yet for words */
    for (uint32_t k = 0; k < tiles; k++) {
        int count = n - k * TILE < TILE ? (int)(n - k * TILE) : TILE, scale, shift;
        NAME(load_tile)(x, plain + (uint64_t)k * TILE * (uint32_t)t.width, count, t.width);
        if (based) NAME(load_tile)(y, base + (uint64_t)k * TILE * (uint32_t)t.width, count, t.width);
#if IS_WIDE
        int kind = count == TILE ? wide_judge(x, y, t, based, &scale, &shift) : NAME(judge)(x, y, count, t, based, &scale, &shift);
#else
        int kind = NAME(judge)(x, y, count, t, based, &scale, &shift);
#endif
        w->kind[k] = (uint8_t)kind;
        w->shift[k] = (uint8_t)shift;
        scales[k] = (uint16_t)scale;
        if (kind == SCALED && scale > highest) highest = scale;
        if (kind == PROPORTIONAL) {
            proportional = 1;
#if IS_WIDE
            if (count == TILE) { wide_sums(x, y, t, sums.sum[0], sums.count[0]); continue; }
#endif
            for (int i = 0; i < count; i++) {
                int b = NAME(bin)(y[i], t), upper = (int)(y[i] >> (t.mantissa - 5)) & 1;
                sums.sum[b][upper] += NAME(difference)(x[i], y[i], t.width);
                sums.count[b][upper]++;
            }
        }
    }
    if (proportional) NAME(fit)(&sums, &p);
    int origin = highest - 127;
    uint32_t raw_at = HEAD + (proportional ? MODEL : 0);
    if (room < (uint64_t)raw_at + 64) return 0;
    BitsOut raw = {out + raw_at, out + room, 0, 0, 0};
    int before = 0, last = 0;
    for (uint32_t k = 0; k < tiles; k++) {
        int symbol = (w->kind[k] - before + 3) % 3;
        before = w->kind[k];
        w->side[side++] = (uint8_t)symbol;
        w->counts[KINDS][symbol]++;
    }
    uint32_t class_at = side;
    for (uint32_t k = 0; k < tiles; k++) {
        if (w->kind[k] != SCALED) continue;
        int c = (int)scales[k] - origin;
        c = c < 0 ? 0 : c;
        int change = c - last, symbol = change < 0 ? -2 * change - 1 : 2 * change;
        w->class_[k] = (uint8_t)c;
        last = c;
        w->side[side++] = (uint8_t)symbol;
        w->counts[CLASSES][symbol]++;
    }
    uint32_t shift_at = side;
    for (uint32_t k = 0; k < tiles; k++) {
        if (w->kind[k] == SAME) continue;
        w->side[side++] = w->shift[k];
        w->counts[SHIFTS][w->shift[k]]++;
    }
    for (uint32_t k = 0; k < tiles; k++) {
        if (w->kind[k] == SAME) continue;
        int count = n - k * TILE < TILE ? (int)(n - k * TILE) : TILE, shift = w->shift[k];
        uint8_t *token = w->token + symbols, *context = w->context + symbols;
        NAME(load_tile)(x, plain + (uint64_t)k * TILE * (uint32_t)t.width, count, t.width);
        if (based) NAME(load_tile)(y, base + (uint64_t)k * TILE * (uint32_t)t.width, count, t.width);
        int scale = origin + w->class_[k], done = 0;
#if IS_WIDE
        if (count == TILE && raw.end - raw.out >= WIDE_ROOM) {
            if (!based) {
                memset(context, w->class_[k], TILE);
                done = wide_tokens(x, t, scale, shift, token, &raw);
            } else if (w->kind[k] == SCALED) {
                done = wide_changes(x, y, t, scale, shift, token, context, &raw);
            } else {
                done = wide_proportional(x, y, t, &p, token, context, &raw);
            }
        }
#endif
        if (done) {
        } else if (!based) {
            int low = t.mantissa - 2, c = w->class_[k];
            for (int i = 0; i < count; i++) {
                WORD magnitude = x[i] & (((WORD)1 << (8 * t.width - 1)) - 1);
                int q = (int)(magnitude >> low), code = q + 4 * t.bias - 2 * scale + ANCHOR;
                context[i] = (uint8_t)c;
                if (!x[i]) { token[i] = ZERO; continue; }
                if (code < 0 || code >= ZERO) { token[i] = ESCAPE; put_bits(&raw, (uint64_t)q, ESCAPED); }
                else token[i] = (uint8_t)code;
                WORD rest = (magnitude & (((WORD)1 << low) - 1)) >> shift << 1 | x[i] >> (8 * t.width - 1);
                put_long(&raw, rest, 1 + low - shift);
            }
        } else if (w->kind[k] == SCALED) {
            for (int i = 0; i < count; i++) {
                int c = scale - NAME(high)(y[i], t) + OFFSET, bits;
                context[i] = (uint8_t)(c < 0 ? 0 : c >= SCALES ? SCALES - 1 : c);
                WORD z = NAME(zigzag)(NAME(difference)(x[i], y[i], t.width) >> shift);
                token[i] = (uint8_t)token_of(z, SCALED_SPLIT, SCALED_KEPT, &bits);
                if (bits) put_long(&raw, z & (((WORD)1 << bits) - 1), bits);
            }
        } else {
            for (int i = 0; i < count; i++) {
                int bits;
                context[i] = (uint8_t)(SCALES + NAME(bin)(y[i], t));
                WORD z = NAME(zigzag)(NAME(difference)(x[i], y[i], t.width) - NAME(expected)(y[i], t, &p));
                token[i] = (uint8_t)token_of(z, PROPORTIONAL_SPLIT, PROPORTIONAL_KEPT, &bits);
                if (bits) put_long(&raw, z & (((WORD)1 << bits) - 1), bits);
            }
        }
        int i = 0;
        for (; i + 1 < count; i += 2) {  /* two counts, because equal ones would wait for each other */
            w->counts[context[i]][token[i]]++;
            w->merged[context[i + 1]][token[i + 1]]++;
        }
        if (i < count) w->counts[context[i]][token[i]]++;
        symbols += (uint32_t)count;
        if (raw.full) return 0;
    }
    flush_bits(&raw);
    uint32_t raw_bytes = (uint32_t)(raw.out - (out + raw_at));
    for (int c = 0; c < CONTEXTS; c++)
        for (int s = 0; s < 256; s++) w->counts[c][s] += w->merged[c][s];
    int tables = cluster(w);
    BitsOut bits = {raw.out, out + room, 0, 0, raw.full};
    int previous = 0;
    for (int c = 0; c < CONTEXTS; c++) { put_bits(&bits, w->table[c] != previous, 1); previous = w->table[c]; }
    for (int k = 0; k < tables; k++) write_table(&bits, w->merged[k], w->freq[k]);
    flush_bits(&bits);
    uint32_t table_bytes = (uint32_t)(bits.out - raw.out);
    if (bits.full) return 0;
    uint32_t state[LANES];
    uint16_t *end = w->words + MOST + 3 * MOST_TILES + 64, *at = end;
    for (int i = 0; i < lanes; i++) state[i] = LOWEST;
    uint32_t mask = (uint32_t)lanes - 1;
    uint32_t k = symbols;
#if IS_WIDE
    if (lanes == LANES) {
        while (k % LANES) {
            k--;
            state[k & mask] = push(state[k & mask], &w->encoded[w->table[w->context[k]]][w->token[k]], &at);
        }
        at = wide_push(state, w->packed[0], w->table, w->context, w->token, k, at);
        k = 0;
    }
#endif
    while (k-- > 0)
        state[k & mask] = push(state[k & mask], &w->encoded[w->table[w->context[k]]][w->token[k]], &at);
    for (k = side; k-- > 0;) {
        int c = k >= shift_at ? SHIFTS : k >= class_at ? CLASSES : KINDS;
        state[k & mask] = push(state[k & mask], &w->encoded[w->table[c]][w->side[k]], &at);
    }
    uint32_t words = (uint32_t)(end - at);
    uint64_t total = (uint64_t)(bits.out - out) + 4u * (uint32_t)lanes + 2ull * words;
    if (total >= room) return 0;
    uint8_t *to = bits.out;
    memcpy(to, state, 4u * (uint32_t)lanes);
    memcpy(to + 4 * lanes, at, 2ull * words);
    int16_t origin_16 = (int16_t)origin;
    out[0] = (uint8_t)(based | proportional << 1);
    out[1] = (uint8_t)tables;
    out[2] = (uint8_t)t.mantissa;
    out[3] = (uint8_t)t.exponent;
    memcpy(out + 4, &origin_16, 2);
    memset(out + 6, 0, 2);
    memcpy(out + 8, &raw_bytes, 4);
    memcpy(out + 12, &table_bytes, 4);
    memcpy(out + 16, &words, 4);
    if (proportional) memcpy(out + HEAD, &p, MODEL);
    return (int64_t)total;
}

#if IS_WIDE
typedef WideTables NAME(Tables);
#else
typedef int NAME(Tables);
#endif

/* tokens of a tile, one from each state in turn */
static FUNCTION void NAME(pull_tile)(
    Decoder *d, const NAME(Tables) *tables, const uint32_t *const *slots, const uint8_t *context, uint8_t *token, int count, uint32_t *turn, int lanes) {
    (void)tables;
    if (lanes == LANES && count == TILE && d->end - d->words >= 2 * TILE) {
#if IS_WIDE
        wide_pull(d, tables, context, token);
#else
        const uint8_t *words = d->words;
        for (int i = 0; i < TILE; i += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                uint32_t x = d->state[lane], entry = slots[context[i + lane]][x & (TOTAL - 1)];
                uint16_t word;
                memcpy(&word, words, 2);
                x = ((entry >> 8 & 4095) + 1) * (x >> PROBABILITY) + (entry >> 20);
                uint32_t less = 0u - (uint32_t)(x < LOWEST);  /* no branch: nobody could predict it */
                x = x << (less & 16) | (word & less);
                words += less & 2;
                d->state[lane] = x;
                token[i + lane] = (uint8_t)entry;
            }
        d->words = words;
#endif
        return;
    }
    for (int i = 0; i < count; i++) token[i] = (uint8_t)pull(d, (int)((*turn)++ & (uint32_t)(lanes - 1)), slots[context[i]]);
}

static FUNCTION int NAME(tiles_of)(
    const uint8_t *base, uint32_t n, Type t, uint8_t *plain, Work *w, Decoder *d, BitsIn *raw, const Proportion *p,
    int origin, int lanes) {
    uint64_t scaled_base[256], proportional_base[256];
    uint8_t scaled_bits[256], proportional_bits[256];
    token_table(scaled_base, scaled_bits, SCALED_SPLIT, SCALED_KEPT);
    token_table(proportional_base, proportional_bits, PROPORTIONAL_SPLIT, PROPORTIONAL_KEPT);
    const uint32_t *slots[SCALES + BINS];
    for (int c = 0; c < SCALES + BINS; c++) slots[c] = d->slots + (uint32_t)w->table[c] * TOTAL;
    uint32_t tiles = (n + TILE - 1) / TILE, turn = 0;
    WORD x[TILE], y[TILE];
    uint8_t context[TILE], token[TILE];
#if IS_WIDE
    WideTables which = wide_tables(w->table);
#else
    int which = 0;
#endif
    memset(y, 0, sizeof y);
    for (uint32_t k = 0; k < tiles; k++) {
        int count = n - k * TILE < TILE ? (int)(n - k * TILE) : TILE, shift = w->shift[k], kind = w->kind[k];
        uint64_t place = (uint64_t)k * TILE * (uint32_t)t.width;
        if (kind == SAME) {
            if (base) memcpy(plain + place, base + place, (size_t)(count * t.width));
            else memset(plain + place, 0, (size_t)(count * t.width));
            continue;
        }
        if (base) NAME(load_tile)(y, base + place, count, t.width);
        int scale = origin + w->class_[k];
        if (!base) {
            int low = t.mantissa - 2, sign = 8 * t.width - 1, rest_bits = 1 + low - shift;
            memset(context, w->class_[k], sizeof context);
            NAME(pull_tile)(d, &which, slots, context, token, count, &turn, lanes);
            int first = 2 * scale - 4 * t.bias - ANCHOR;
#if IS_WIDE
            if (lanes != LANES || count != TILE || !wide_numbers(x, token, t, scale, shift, raw))
#endif
            for (int i = 0; i < count; i++) {
                if (token[i] >= ZERO) {
                    if (token[i] == ZERO) { x[i] = 0; continue; }
                    WORD q = (WORD)get_bits(raw, ESCAPED), rest = (WORD)get_long(raw, rest_bits);
                    x[i] = q << low | rest >> 1 << shift | (rest & 1) << sign;
                    continue;
                }
                WORD rest = (WORD)get_long(raw, rest_bits);
                x[i] = (WORD)(token[i] + first) << low | rest >> 1 << shift | (rest & 1) << sign;
            }
        } else if (kind == SCALED) {
#if IS_WIDE
            if (count == TILE) wide_contexts(context, y, t, scale);
            else
#endif
            for (int i = 0; i < count; i++) {
                int c = scale - NAME(high)(y[i], t) + OFFSET;
                context[i] = (uint8_t)(c < 0 ? 0 : c >= SCALES ? SCALES - 1 : c);
            }
            NAME(pull_tile)(d, &which, slots, context, token, count, &turn, lanes);
#if IS_WIDE
            if (lanes == LANES && count == TILE && wide_changed(x, y, token, shift, raw)) {
                NAME(store_tile)(plain + place, x, count, t.width);
                if (d->damaged) return -1;
                continue;
            }
#endif
            uint8_t large = 0;
            for (int i = 0; i < count; i++) large |= (uint8_t)(token[i] >= 1 << SCALED_SPLIT);
            if (!large)
                for (int i = 0; i < count; i++) x[i] = y[i] + ((WORD)NAME(unzigzag)((WORD)token[i]) << shift);
            else
                for (int i = 0; i < count; i++) {
                    WORD z = (WORD)(scaled_base[token[i]] + get_long(raw, scaled_bits[token[i]]));
                    x[i] = y[i] + ((WORD)NAME(unzigzag)(z) << shift);
                }
        } else {
#if IS_WIDE
            if (count == TILE) wide_bins(y, t, context);
            else
#endif
            for (int i = 0; i < count; i++) context[i] = (uint8_t)(SCALES + NAME(bin)(y[i], t));
            NAME(pull_tile)(d, &which, slots, context, token, count, &turn, lanes);
#if IS_WIDE
            if (lanes != LANES || count != TILE || !wide_moved(x, y, token, t, p, raw))
#endif
            for (int i = 0; i < count; i++) {
                WORD z = (WORD)(proportional_base[token[i]] + get_long(raw, proportional_bits[token[i]]));
                x[i] = y[i] + (WORD)NAME(unzigzag)(z) + (WORD)NAME(expected)(y[i], t, p);
            }
        }
        NAME(store_tile)(plain + place, x, count, t.width);
        if (d->damaged || raw->at > raw->limit) return -1;
    }
    return 0;
}

static FUNCTION int NAME(decode)(const uint8_t *payload, uint64_t size, const uint8_t *base, uint32_t n, Type t, uint8_t *plain, Work *w) {
    uint32_t raw_bytes, table_bytes, words, tiles = (n + TILE - 1) / TILE;
    int16_t origin;
    Proportion p;
    memset(&p, 0, sizeof p);
    int lanes = n >= 8192 ? LANES : 4;
    int flags = payload[0], tables = payload[1];
    memcpy(&origin, payload + 4, 2);
    memcpy(&raw_bytes, payload + 8, 4);
    memcpy(&table_bytes, payload + 12, 4);
    memcpy(&words, payload + 16, 4);
    uint64_t at = HEAD + (flags & 2 ? MODEL : 0);
    if (flags > 3 || payload[6] || payload[7] || (flags & 1) != (base != NULL) || tables < 1 || tables > TABLES) return -1;
    if ((flags & 2) && (!base || t.mantissa < 7)) return -1;
    if (at + raw_bytes + table_bytes + 4u * (uint32_t)lanes + 2ull * words != size) return -1;
    if (flags & 2) memcpy(&p, payload + HEAD, MODEL);
    BitsIn raw = {payload + at, 0, 8ull * raw_bytes, raw_bytes};
    at += raw_bytes;
    BitsIn bits = {payload + at, 0, 8ull * table_bytes, table_bytes};
    at += table_bytes;
    int table = 0;
    for (int c = 0; c < CONTEXTS; c++) {
        table += (int)get_bits(&bits, 1);
        w->table[c] = (uint8_t)table;
    }
    if (table != tables - 1) return -1;
    for (int k = 0; k < tables; k++) {
        if (read_table(&bits, w->freq[k])) return -1;
        spread(w->slots[k], w->freq[k]);
    }
    Decoder d;
    memcpy(d.state, payload + at, 4u * (uint32_t)lanes);
    d.words = payload + at + 4 * lanes;
    d.end = payload + size;
    d.slots = w->slots[0];
    d.damaged = 0;
    uint32_t mask = (uint32_t)lanes - 1, j = 0;
    int kind = 0, last = 0;
    for (uint32_t k = 0; k < tiles; k++) {
        kind = (kind + pull(&d, (int)(j++ & mask), w->slots[w->table[KINDS]])) % 3;
        if (kind == PROPORTIONAL && !(flags & 2)) return -1;
        w->kind[k] = (uint8_t)kind;
        w->class_[k] = w->shift[k] = 0;
    }
    for (uint32_t k = 0; k < tiles; k++) {
        if (w->kind[k] != SCALED) continue;
        int symbol = pull(&d, (int)(j++ & mask), w->slots[w->table[CLASSES]]);
        last += symbol & 1 ? -(symbol + 1) / 2 : symbol / 2;
        if (last < 0 || last > 127) return -1;
        w->class_[k] = (uint8_t)last;
    }
    int most = base ? 8 * t.width - 1 : t.mantissa - 2;
    for (uint32_t k = 0; k < tiles; k++) {
        if (w->kind[k] == SAME) continue;
        w->shift[k] = (uint8_t)pull(&d, (int)(j++ & mask), w->slots[w->table[SHIFTS]]);
        if (w->shift[k] > (w->kind[k] == PROPORTIONAL ? 0 : most)) return -1;
    }
    if (d.damaged) return -1;
    int bad = lanes == LANES ? NAME(tiles_of)(base, n, t, plain, w, &d, &raw, &p, origin, LANES)
                             : NAME(tiles_of)(base, n, t, plain, w, &d, &raw, &p, origin, 4);
    if (bad || d.words != d.end) return -1;
    for (int i = 0; i < lanes; i++) if (d.state[i] != LOWEST) return -1;
    return 0;
}
