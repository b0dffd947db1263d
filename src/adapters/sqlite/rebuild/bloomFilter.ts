/**
 * Remembers which ids of which collections it was asked for. It is a Bloom filter, so its size does not depend on their
 * number.
 */
export interface SeenIds {
  /** False for an id that it was asked for before, and wrongly false for a few new ids. True means certainly new. */
  isNew(collection: string, id: string): boolean
}

/** 8 MiB. With five million ids, one new id in a hundred is taken for a known one. */
const BITS = 2 ** 26
const HASHES = 4

export function createSeenIds(): SeenIds {
  const bits = new Uint8Array(BITS / 8)
  return {
    isNew(collection, id) {
      const first = hashOf(id, hashOf(collection, 0))
      // An odd step reaches every bit.
      const step = mixed(first) | 1
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

/** FNV-1a over the characters. For texts as short as these, any native hash would take longer. */
function hashOf(text: string, seed: number): number {
  let hash = seed ^ 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** The last step of MurmurHash3, after which each bit depends on all. */
function mixed(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 16)
}
