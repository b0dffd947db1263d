import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Api, apiOf, type CreatedToken } from '../support/callers/api.ts'
import { endServices, ownFolder, startService } from '../support/processes/service.ts'
import { eventually } from '../support/suite/eventually.ts'
import { sweep } from '../support/suite/sweep.ts'

const WORKERS = 4
/** Longer than any run of this test. */
const GRACE = { grace_seconds: 604_800 }

/** A token as its worker knows it by the answers. Only one command of a worker is under way at a time. */
interface Known {
  id: string
  older: string
  newer: string | null
  status: 'pending' | 'grace' | null
  /** Secrets that an answered command has ended. */
  dead: string[]
  /** The command that had no answer when the process was killed, so that it may or may not have happened. */
  underWay: 'rotate' | 'activate' | 'end' | null
}

interface Shown {
  rotation: { status: string } | null
}

const path = (id: string): string => `/settings/api-tokens/${id}`

async function create(api: Api): Promise<Known> {
  const { status, body } = await api.create({ name: 'rotated' })
  expect(status).to.equal(201)
  return { id: body.id, older: body.token, newer: null, status: null, dead: [], underWay: null }
}

const statusOf = async (api: Api, { id }: Known) =>
  (await api.call<Shown>('GET', path(id))).body.rotation?.status ?? null

/** Rotates, or goes on with the rotation that is under way; now and then it begins a pending one anew. */
async function next(api: Api, known: Known, isAgain: boolean): Promise<void> {
  if (known.status === null || (known.status === 'pending' && isAgain)) {
    known.underWay = 'rotate'
    const init = { body: JSON.stringify(GRACE), headers: { 'content-type': 'application/json' } }
    const { status, body } = await api.call<CreatedToken>('POST', `${path(known.id)}/rotations`, init)
    expect(status).to.equal(201)
    if (known.newer !== null) known.dead.push(known.newer)
    Object.assign(known, { newer: body.token, status: 'pending' })
  } else if (known.status === 'pending') {
    known.underWay = 'activate'
    expect(await api.use(known.newer ?? '')).to.equal(200)
    // Acknowledged is what somebody has been told.
    await eventually(async () => expect(await statusOf(api, known)).to.equal('grace'))
    known.status = 'grace'
  } else {
    known.underWay = 'end'
    expect((await api.call('DELETE', `${path(known.id)}/rotations?status=grace`)).status).to.equal(204)
    known.dead.push(known.older)
    Object.assign(known, { older: known.newer, newer: null, status: null })
  }
  known.underWay = null
}

/** Holds a token to what its worker knows, and tells the worker what became of its last command. */
async function check(api: Api, known: Known): Promise<void> {
  const status = await statusOf(api, known)
  for (const secret of known.dead) expect(await api.use(secret), 'a dead secret').to.equal(401)
  switch (known.underWay) {
    case null:
      expect(status).to.equal(known.status)
      break
    case 'rotate':
      // The answer with the secret is lost. If it happened, an earlier pending secret is dead.
      expect(status).to.be.oneOf([known.status, 'pending'])
      expect(await api.use(known.older)).to.equal(200)
      await api.call('DELETE', `${path(known.id)}/rotations?status=pending`)
      if (known.newer !== null) known.dead.push(known.newer)
      Object.assign(known, { newer: null, status: null })
      break
    case 'activate':
      expect(status).to.be.oneOf(['pending', 'grace'])
      known.status = status as 'pending' | 'grace'
      break
    case 'end':
      expect(status).to.be.oneOf(['grace', null])
      if (status === null) {
        known.dead.push(known.older)
        Object.assign(known, { older: known.newer, newer: null, status: null })
      }
      break
  }
  known.underWay = null
  expect(await api.use(known.older), 'the older secret').to.equal(200)
  // A use of a pending one would activate it.
  if (known.status === 'grace') expect(await api.use(known.newer ?? ''), 'the newer secret').to.equal(200)
}

const kills = sweep('kills', 8, 3)

describe('a kill -9 amid rotations', () => {
  afterEach(endServices)

  it(`takes back no rotation, activation or end that was acknowledged${kills.note}`, async function () {
    this.timeout(600_000)
    const folder = await ownFolder()
    const env = { MAX_TOKENS_PER_ACCOUNT: '100000', RATE_LIMIT_WRITES_PER_MINUTE: '0' }
    const known: Known[] = []
    let steps = 0
    for (let round = 0; round <= kills.amount; round++) {
      const service = await startService(env, folder)
      const api = apiOf(service.url)
      for (const one of known) await check(api, one)
      if (round === kills.amount) break
      if (round === 0) for (let n = 0; n < WORKERS; n++) known.push(await create(api))
      let isKilled = false
      const work = async (one: Known): Promise<void> => {
        while (!isKilled) {
          try {
            await next(api, one, steps % 5 === 0)
            steps++
          } catch (error) {
            if (!isKilled) throw error
          }
        }
      }
      const working = known.map(work)
      const before = steps
      await eventually(() => expect(steps).to.be.above(before + 3 * WORKERS))
      await sleep((round * 37) % 100)
      isKilled = true
      await service.kill()
      await Promise.all(working)
    }
    expect(known.flatMap(({ dead }) => dead)).to.not.be.empty
  })
})
