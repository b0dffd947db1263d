import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Generations, generationsOf } from '../../../src/adapters/sqlite/documents/generations.ts'
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
  let generations: Generations

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-generations-'))
    path = join(folder, 'model.db')
    generations = generationsOf(path)
  })

  afterEach(() => rmSync(folder, { recursive: true }))

  const make = (generation: number): void => writeFileSync(generations.fileOf(generation), 'x')

  it('begin with the file that the setting names', () => {
    expect([generations.live(), generations.liveFile(), generations.next()]).to.deep.equal([1, path, 2])
  })

  it('move to another file by a pointer', () => {
    make(1)
    make(2)
    expect(generations.live()).to.equal(1)
    generations.pointLive(2)
    expect([generations.liveFile(), generations.next()]).to.deep.equal([`${path}.g2`, 3])
  })

  it('begin again where the pointer is damaged or its file has gone, and fill none that somebody points to', () => {
    make(1)
    generations.pointLive(7)
    expect([generations.live(), generations.next()]).to.deep.equal([1, 8])
    make(7)
    writeFileSync(`${path}.live`, readFileSync(`${path}.live`, 'utf8').replace('7', '6'))
    make(6)
    expect(generations.live()).to.equal(1)
  })

  it('are removed when they are older than the live one, and what is being filled stays', async () => {
    for (const generation of [1, 2, 3, 4]) make(generation)
    writeFileSync(`${path}.lock`, '')
    generations.pointLive(3)
    await generations.removeOlder()
    expect([1, 2, 3, 4].map((n) => exists(generations.fileOf(n)))).to.deep.equal([false, false, true, true])
    expect(exists(`${path}.lock`)).to.equal(true)
  })

  it('are offered and withdrawn', () => {
    expect(generations.offered()).to.equal(null)
    generations.pointOffer(2)
    expect(generations.offered()).to.equal(2)
    generations.withdrawOffer()
    expect(generations.offered()).to.equal(null)
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
