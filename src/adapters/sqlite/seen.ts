import { crc32 } from 'node:zlib'

/** Which ids of which collections have been asked for: a Bloom filter, of one size whatever there is. */
export interface Seen {
  /** True for certain the first time; later false, and for some others too. */
  isNew(collection: string, id: string): boolean
}

/** 8 MiB: of five million ids one in a hundred is taken for a known one. */
const BITS = 2 ** 26
const HASHES = 4

export function createSeen(): Seen {
  const bits = new Uint8Array(BITS / 8)
  return {
    isNew(collection, id) {
      const first = crc32(id, crc32(collection))
      // Odd, so that the steps reach every bit.
      const step = crc32(id, 0x9e3779b9) | 1
      let isNew = false
      for (let i = 0; i < HASHES; i++) {
        const bit = (first + Math.imul(i, step)) & (BITS - 1)
        const [index, mask] = [bit >>> 3, 1 << (bit & 7)]
        if ((bits[index] ?? 0) & mask) continue
        bits[index] = (bits[index] ?? 0) | mask
        isNew = true
      }
      return isNew
    },
  }
}
