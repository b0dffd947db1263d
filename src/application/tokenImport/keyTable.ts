/** Values of one width, by row number. They are kept in one buffer, since texts would take several times the memory. */
export interface Column {
  /** Adds a row. */
  push(value: Uint8Array): void
  at(row: number): Uint8Array
  rows(): number
}

const FIRST_ROWS = 1024

/** @param width bytes to a value */
export function createColumn(width: number): Column {
  let bytes = Buffer.alloc(FIRST_ROWS * width)
  let rows = 0
  return {
    push(value) {
      if (bytes.length === rows * width) bytes = Buffer.concat([bytes], bytes.length * 2)
      bytes.set(value, rows++ * width)
    },
    at: (row) => bytes.subarray(row * width, (row + 1) * width),
    rows: () => rows,
  }
}

/** Maps keys to numbers. */
export interface KeyTable {
  /**
   * Adds a key with its number, unless the key is there already.
   * @returns the number that the key has already; null for a new key
   */
  add(key: Uint8Array, number: number): number | null
  find(key: Uint8Array): number | null
}

/** @param width bytes to a key */
export function createKeyTable(width: number): KeyTable {
  const keys = createColumn(width)
  const numbers: number[] = []
  /**
   * A hash table with open addressing: a slot holds a row number plus one, or 0 if it is free. At most half are used.
   */
  let slots = new Uint32Array(FIRST_ROWS * 2)

  /** The slot that has the key, or the free slot that it would get. */
  function slotOf(key: Uint8Array): number {
    let slot = hashOf(key) % slots.length
    for (let row = slots[slot]; row && Buffer.compare(keys.at(row - 1), key) !== 0; row = slots[slot]) {
      slot = (slot + 1) % slots.length
    }
    return slot
  }

  function grow(): void {
    slots = new Uint32Array(slots.length * 2)
    for (let row = 0; row < keys.rows(); row++) slots[slotOf(keys.at(row))] = row + 1
  }

  function find(key: Uint8Array): number | null {
    const row = slots[slotOf(key)]
    return row ? (numbers[row - 1] ?? null) : null
  }

  return {
    add(key, number) {
      const known = find(key)
      if (known !== null) return known
      if (keys.rows() * 2 >= slots.length) grow()
      slots[slotOf(key)] = keys.rows() + 1
      keys.push(key)
      numbers.push(number)
      return null
    },
    find,
  }
}

/** FNV-1a over the whole key, since ids of a table may all begin or end alike. */
function hashOf(key: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
