import { hash } from 'node:crypto'

/**
 * A map for millions of names in little memory: about `bytes + 28` bytes for each name, and no object. A name is known
 * by the first 128 bits of its SHA-256. Nothing can be removed.
 */
export interface CompactMap {
  /** The record of a name, which may be changed in place; undefined if there is none. */
  get(name: string): Buffer | undefined
  /** Makes the record of a name that has none. All its bytes are zero. */
  add(name: string): Buffer
  size(): number
}

const KEY_BYTES = 16
const PER_CHUNK = 16_384
const FIRST_SLOTS = 1024

/** @param bytes the size of a record */
export function createCompactMap(bytes: number): CompactMap {
  const width = KEY_BYTES + bytes
  const chunks: Buffer[] = []
  let count = 0
  /**
   * A hash table with open addressing, at most half full: numbers of records, from 1, at places given by their keys.
   */
  let slots = new Uint32Array(FIRST_SLOTS)

  function entry(n: number): Buffer {
    const start = (n % PER_CHUNK) * width
    return (chunks[Math.floor(n / PER_CHUNK)] as Buffer).subarray(start, start + width)
  }

  /** The place of a key in `slots`, or the free place where it belongs. */
  function placeOf(key: Buffer): number {
    const mask = slots.length - 1
    for (let place = key.readUInt32LE(0) & mask; ; place = (place + 1) & mask) {
      const number = slots[place] as number
      if (number === 0 || entry(number - 1).compare(key, 0, KEY_BYTES, 0, KEY_BYTES) === 0) return place
    }
  }

  function grow(): void {
    slots = new Uint32Array(slots.length * 2)
    for (let n = 0; n < count; n++) slots[placeOf(entry(n))] = n + 1
  }

  return {
    get(name) {
      const number = slots[placeOf(keyOf(name))] as number
      return number === 0 ? undefined : entry(number - 1).subarray(KEY_BYTES)
    },
    add(name) {
      if (count * 2 >= slots.length) grow()
      if (count % PER_CHUNK === 0) chunks.push(Buffer.alloc(PER_CHUNK * width))
      const key = keyOf(name)
      slots[placeOf(key)] = count + 1
      const added = entry(count++)
      key.copy(added, 0, 0, KEY_BYTES)
      return added.subarray(KEY_BYTES)
    },
    size: () => count,
  }
}

const keyOf = (name: string): Buffer => hash('sha256', name, 'buffer')
