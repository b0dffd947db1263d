import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  fileOf,
  liveFile,
  liveGeneration,
  nextGeneration,
  offeredGeneration,
  pointLive,
  pointOffer,
  removeOlder,
  withdrawOffer,
} from '../../../src/adapters/sqlite/documents/generations.ts'
import { createSeenIds } from '../../../src/adapters/sqlite/rebuild/bloomFilter.ts'

describe('the filter of ids', () => {
  it('knows whatever it was asked for, and takes few others for known', () => {
    const seen = createSeenIds()
    const ids = Array.from({ length: 50_000 }, (_, n) => `id ${n}`)
    expect(ids.filter((id) => !seen.isNew('a', id)).length).to.be.below(5)
    expect(ids.filter((id) => seen.isNew('a', id))).to.deep.equal([])
    expect(ids.filter((id) => !seen.isNew('b', id)).length).to.be.below(50)
  })
})

describe('the generations of a SQLite read model', () => {
  let folder: string
  let path: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-generations-'))
    path = join(folder, 'model.db')
  })

  afterEach(() => rmSync(folder, { recursive: true }))

  const make = (generation: number): void => writeFileSync(fileOf(path, generation), 'x')

  it('begin with the file that the setting names', () => {
    expect([liveGeneration(path), liveFile(path), nextGeneration(path)]).to.deep.equal([1, path, 2])
  })

  it('move to another file by a pointer', () => {
    make(1)
    make(2)
    expect(liveGeneration(path)).to.equal(1)
    pointLive(path, 2)
    expect([liveFile(path), nextGeneration(path)]).to.deep.equal([`${path}.g2`, 3])
  })

  it('begin again where the pointer is damaged or its file has gone, and fill none that somebody points to', () => {
    make(1)
    pointLive(path, 7)
    expect([liveGeneration(path), nextGeneration(path)]).to.deep.equal([1, 8])
    make(7)
    writeFileSync(`${path}.live`, readFileSync(`${path}.live`, 'utf8').replace('7', '6'))
    make(6)
    expect(liveGeneration(path)).to.equal(1)
  })

  it('are removed when they are older than the live one, and what is being filled stays', async () => {
    for (const generation of [1, 2, 3, 4]) make(generation)
    writeFileSync(`${path}.lock`, '')
    pointLive(path, 3)
    await removeOlder(path)
    expect([1, 2, 3, 4].map((n) => exists(fileOf(path, n)))).to.deep.equal([false, false, true, true])
    expect(exists(`${path}.lock`)).to.equal(true)
  })

  it('are offered and withdrawn', () => {
    expect(offeredGeneration(path)).to.equal(null)
    pointOffer(path, 2)
    expect(offeredGeneration(path)).to.equal(2)
    withdrawOffer(path)
    expect(offeredGeneration(path)).to.equal(null)
  })

  const exists = (file: string): boolean => {
    try {
      readFileSync(file)
      return true
    } catch {
      return false
    }
  }
})
