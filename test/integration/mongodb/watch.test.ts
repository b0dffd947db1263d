import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { projections } from '../../../projections/index.ts'
import { tokens } from '../../../projections/tokens.ts'
import { ageOf } from '../../../src/application/ports/clock.ts'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import type { Watch } from '../../../src/application/ports/sharing.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../../support/stores/mongod.ts'
import { whenAvailable, patient } from '../../support/stores/patient.ts'
import { median, stopwatch } from '../../support/suite/stopwatch.ts'
import { people, put } from '../../contract/readModel.fixtures.ts'

type Token = Record<string, string | number | string[] | null>

describeWithMongod('A watch on MongoDB', () => {
  let server: Mongod
  let url: string
  let here: ReadModel
  let there: ReadModel
  let watch: Watch
  /** The announcements, in order. */
  let announced: (string[] | null)[]

  before(async () => {
    server = await startMongod({ set: 'rs0' })
  })

  after(() => server.stop())

  beforeEach(async () => {
    url = server.url(`watch-${randomUUID()}`)
    here = await whenAvailable(() => openMongoReadModel(url))
    there = patient(await whenAvailable(() => openMongoReadModel(url)))
    await patient(here).open([...projections, people])
    await there.open([...projections, people])
    announced = []
  })

  afterEach(() => Promise.all([here.close(), there.close()]))

  async function watchTokens(fields: string[], onLost?: (error: unknown) => void): Promise<void> {
    watch = here.watch('tokens', fields, (ids) => announced.push(ids && [...ids].sort()), onLost)
    await live()
    expect(announced, 'any may have changed before it was live').to.deep.equal([null])
    announced.length = 0
  }

  const live = () =>
    eventually(async () => {
      expect(watch.isLive()).to.equal(true)
    })

  const change = (id: string, revision: number, fields: Token) =>
    there.apply([{ kind: 'put', collection: 'tokens', id, revision, fields: { ...fields, revision } }])

  const use = (id: string, n: number) =>
    there.apply([
      {
        kind: 'add',
        collection: 'tokens',
        id,
        position: String(n).padStart(16, '0'),
        max: { lastAccessed: `2026-11-02T22:30:00.${String(n).padStart(3, '0')}Z` },
      },
    ])

  const whole: Token = {
    accountId: 'account-1',
    name: 'Name',
    nameFolded: 'name',
    hash: 'f'.repeat(64),
    hashKeyId: 'k1',
    hint: 'abcd',
    scopes: ['a', 'b', 'c'],
    createdAt: '2026-11-02T22:30:00.000Z',
    updatedAt: '2026-11-02T22:30:00.000Z',
    expiresAt: null,
    revokedAt: null,
  }

  it('tells what others have changed, within a second', async () => {
    await watchTokens(['revision'])
    await change('a', 0, whole)
    const waits: number[] = []
    for (let n = 1; n <= 20; n++) {
      const took = stopwatch()
      await change('a', n, { name: `n${n}` })
      await eventually(async () => expect(announced).to.have.length(n + 1))
      waits.push(took())
    }
    expect(announced.every((ids) => ids?.join() === 'a')).to.equal(true)
    expect(median(waits)).to.be.below(1_000)
  })

  it('says nothing of uses', async () => {
    await change('a', 0, whole)
    await watchTokens(['revision', 'stopped'])
    for (let n = 1; n <= 20; n++) await use('a', n)
    await change('b', 0, {})
    await eventually(async () => expect(announced).to.deep.equal([['b']]))
  })

  it('sees an element of a list change, and go', async () => {
    await change('a', 0, whole)
    await watchTokens(['scopes'])
    await change('a', 1, { scopes: ['a', 'x', 'c'] })
    await eventually(async () => expect(announced).to.deep.equal([['a']]))
    await change('a', 2, { scopes: ['a', 'x'] })
    await eventually(async () => expect(announced).to.deep.equal([['a'], ['a']]))
  })

  it('tells of everything when much happens at once', async () => {
    await watchTokens(['revision'])
    const ids = Array.from({ length: 2_500 }, (_, i) => `t${i}`)
    await there.apply(
      ids.map((id) => ({ kind: 'put', collection: 'tokens', id, revision: 0, fields: { revision: 0 } })),
    )
    await eventually(async () => expect(new Set(announced.flat())).to.deep.equal(new Set(ids)))
  })

  it('says that any may have changed when the collection is dropped, and goes on', async () => {
    await watchTokens(['revision'])
    const client = new MongoClient(url)
    await client.db().dropCollection(`tokens_v${tokens.version}`)
    await client.close()
    await eventually(async () => expect(announced.length).to.be.at.least(2))
    expect(announced.every((ids) => ids === null)).to.equal(true)
    await live()
    await change('a', 0, whole)
    await eventually(async () => expect(announced.at(-1)).to.deep.equal(['a']))
  })

  it('is not live any more once it is closed', async () => {
    await watchTokens(['revision'])
    await watch.close()
    expect(watch.isLive()).to.equal(false)
    await change('a', 0, whole)
    await sleep(300)
    expect(announced).to.deep.equal([])
  })

  it('says once that it hears of nothing any more, and again the next time', async () => {
    const lost: unknown[] = []
    await watchTokens(['revision'], (error) => lost.push(error))
    for (const times of [1, 2]) {
      await server.kill()
      await eventually(() => expect(lost).to.have.length(times))
      await server.restart()
      await live()
    }
    expect(lost[0]).to.be.instanceOf(StoreUnavailableError)
    expect(lost).to.have.length(2)
  })

  it('is not live a second after the server has stopped answering, and is soon after it answers again', async () => {
    await watchTokens(['revision'])
    await server.freeze()
    await sleep(1_000)
    const wasLive = watch.isLive()
    await sleep(2_000)
    server.thaw()
    const took = stopwatch()
    expect(wasLive).to.equal(false)
    await live()
    expect(took()).to.be.below(5_000)
    expect(announced).to.deep.equal([null])
  })

  it('has always told what was acknowledged a second ago while it is live, also when the server is killed', async () => {
    await watchTokens(['revision'])
    await watch.close()
    const written = new Map<string, number>()
    const known = new Set<string>()
    let lookingAgain = 0
    // Any document may have changed. Announcements from now on belong to reads from now on. A write may have been done
    // before this read, and be acknowledged after it.
    async function lookAgain(): Promise<void> {
      lookingAgain++
      await eventually(async () => {
        for (const { id } of await here.find('tokens', { where: [], limit: 100_000 })) known.add(id)
      })
      lookingAgain--
    }
    watch = here.watch('tokens', ['revision'], (ids) => {
      if (ids === null) void lookAgain()
      for (const id of ids ?? []) known.add(id)
    })
    const missed: string[] = []
    let looks = 0
    const look = setInterval(() => {
      if (!watch.isLive() || lookingAgain > 0) return
      looks++
      const aSecondAgo = performance.now() - 1_000
      for (const [id, at] of written) if (at < aSecondAgo && !known.has(id)) missed.push(id)
    }, 10)
    let stopping = false
    const writing = (async () => {
      for (let n = 0; !stopping; n++) {
        const noted = () => void written.set(`t${n}`, performance.now())
        await change(`t${n}`, 0, {}).then(noted, () => {})
      }
    })()
    for (let round = 0; round < 2; round++) {
      await sleep(700)
      await server.kill()
      await server.restart()
      await live()
    }
    await sleep(1_500)
    stopping = true
    await writing
    clearInterval(look)
    expect(missed).to.deep.equal([])
    expect(looks).to.be.above(50)
    expect(written.size).to.be.above(100)
  })

  it('is not live in a process that has slept, from its first look on', async () => {
    const script = fileURLToPath(new URL('./watch.child.js', import.meta.url))
    const child = spawn(process.execPath, [script, url], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      const said: string[] = []
      createInterface(child.stdout).on('line', (line) => said.push(line))
      await eventually(async () => expect(said.at(-1)).to.equal('live'))
      child.kill('SIGSTOP')
      await sleep(1_500)
      said.length = 0
      child.kill('SIGCONT')
      await eventually(async () => expect(said).to.include('live'))
      expect(said[0]).to.equal('not live')
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })

  it('goes by the clock that says more: one stands still in a suspended machine', () => {
    const then = { monotonic: 100, wall: 1_000_000 }
    expect(ageOf(then, { monotonic: 150, wall: 9_000_000 })).to.equal(8_000_000)
    expect(ageOf(then, { monotonic: 5_100, wall: 900_000 })).to.equal(5_000)
  })

  it('is live on a collection that nobody has made yet, and ends with its read model', async () => {
    const reader = await openMongoReadModel(server.url(`watch-${randomUUID()}`), { readOnly: true })
    await reader.open([people])
    const early = reader.watch('people', ['name'], () => {})
    await eventually(async () => expect(early.isLive()).to.equal(true))
    await reader.close()
    expect(early.isLive()).to.equal(false)
  })

  it('costs a write of another collection nothing', async () => {
    await watchTokens(['revision'])
    await there.apply([put('a', 0, { name: 'x' })])
    await sleep(300)
    expect(announced).to.deep.equal([])
  })
})
