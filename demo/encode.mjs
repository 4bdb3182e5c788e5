// From a text to the arrays that the classifier reads, as model.json describes it: encode.py of an
// export, for browsers. It splits words; it has no SentencePiece, which other tokenizers need.

// What Python's re calls a word character, and what JavaScript's \w leaves out.
const WORD = "\\p{L}\\p{N}_";

/** A Python pattern as a RegExp: leading (?i) and (?s) become flags, \w takes all letters. */
export function toRegExp(pattern, flags = "gu") {
  for (const flag of "is") {
    if (pattern.startsWith(`(?${flag})`)) {
      pattern = pattern.slice(4);
      flags += flag;
    }
  }
  let inClass = false;
  const translated = pattern.replace(/\\.|[[\]]/g, (found) => {
    if (found === "[") inClass = true;
    if (found === "]") inClass = false;
    return found === "\\w" ? (inClass ? WORD : `[${WORD}]`) : found;
  });
  return new RegExp(translated, flags);
}

export class Encoder {
  /**
   * @param {object} about model.json
   * @param {string[]} pieces of the tokenizer, by id
   * @param {{keys: Uint32Array, ratios: Float32Array}} table of n-grams, keys ascending
   * @param {(entity: string) => string} unescape what HTML means with an entity
   */
  constructor(about, pieces, table, unescape) {
    if (!about.word_pattern) throw new Error("only the word tokenizer runs here");
    this.about = about;
    this.ids = new Map(pieces.map((piece, id) => [piece, id]));
    this.table = table;
    this.unescape = unescape;
    this.characters = new Map();
    for (const [first, last, to] of about.normalization.characters) {
      for (let code = first; code <= last; code++) this.characters.set(code, to);
    }
  }

  /** Token ids, and the ratios of the n-grams that end at each, n = 1, 2, ... one after another. */
  encode(text) {
    const ids = [];
    for (const word of this.words(text)) {
      const id = this.ids.get(`\u2581${word}`) ?? this.about.unknown_id;
      // As in SentencePiece, unknown words side by side are one token.
      if (id !== this.about.unknown_id || ids.at(-1) !== id) ids.push(id);
    }
    if (!ids.length) ids.push(this.about.unknown_id);
    const { max_length: limit, head_length: head } = this.about;
    const kept = ids.map((_, at) => at).filter(
      (at) => ids.length <= limit || at < head || at >= ids.length - (limit - head));
    const features = this.features(ids);
    return { ids: kept.map((at) => ids[at]), features: kept.flatMap((at) => features[at]) };
  }

  words(text) {
    const rules = this.about.normalization;
    text = text.replace(toRegExp(rules.entity), this.unescape);
    text = text.replace(toRegExp(rules.break), " ");
    text = Array.from(text, (c) => this.characters.get(c.codePointAt(0)) ?? c).join("");
    const parts = text.split(toRegExp(rules.kept));
    text = parts.map((part, k) => (k % 2 ? part : part.normalize(rules.unicode))).join("");
    text = text.replace(toRegExp(rules.space), " ").trim();
    if (rules.lowercase) text = text.toLowerCase();
    return text.match(toRegExp(this.about.word_pattern)) ?? [];
  }

  features(ids) {
    const rows = ids.map(() => []);
    const keys = new Uint32Array(ids.length);
    for (let n = 0; n < this.about.ngram_order; n++) {
      for (let at = ids.length - 1; at >= n; at--) {
        keys[at] = scramble(Math.imul(keys[at], 0x9e3779b1) + ids[at - n] + n + 1);
      }
      rows.forEach((row, at) => row.push(at >= n ? this.ratio(keys[at]) : 0));
    }
    return rows;
  }

  ratio(key) {
    const { keys, ratios } = this.table;
    let low = 0;
    let high = keys.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (keys[middle] < key) low = middle + 1;
      else high = middle;
    }
    return keys[low] === key ? ratios[low] : 0;
  }
}

/** The finaliser of MurmurHash3. */
function scramble(h) {
  h >>>= 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The table that `scripts/make_browser_demo.py` packed: differences of keys, then half floats. */
export function unpackTable(buffer, size) {
  const bytes = new Uint8Array(buffer);
  const keys = new Uint32Array(size);
  const ratios = new Float32Array(size);
  let at = 0;
  let key = 0;
  for (let row = 0; row < size; row++) {
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++];
      key += (byte & 127) * shift;
      if (byte < 128) break;
    }
    keys[row] = key;
  }
  for (let row = 0; row < size; row++, at += 2) {
    const bits = bytes[at] | (bytes[at + 1] << 8);
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const value = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    ratios[row] = bits & 0x8000 ? -value : value;
  }
  return { keys, ratios };
}
