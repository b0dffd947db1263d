import { expect } from 'chai'
import { keyIdsInUse, missingKeys } from '../../src/application/authentication/keysInUse.ts'
import { projections } from '../../projections/index.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import { created, revoked, rotated, time, writerTo } from '../support/events/audited.ts'
import { project } from '../support/events/usageLife.ts'
import { describeOnMongo, type MongoServer, someMongo } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'

const AFTER_GRACE = time(60_000)

/** @param keys of the secrets that the token's rotations bring, each beside the one before it */
async function tokenWith(
  write: ReturnType<typeof writerTo>,
  keys: readonly string[],
  activate = 'on_first_use',
) {
  const id = ids.random()
  const events = keys.map((hashKeyId, i) => {
    const event = i === 0 ? created(id) : rotated(i, { beside: i - 1, activate })
    const hash = ids.digest(`${id} ${i}`)
    Object.assign(event.data, { hash, hashKeyId })
    if (i > 0)
      Object.assign((event.data as { beside: object }).beside, {
        hash: ids.digest(`${id} ${i - 1}`),
        hashKeyId: keys[i - 1],
      })
    return event
  })
  await write(tokenStream(id), events)
  return id
}

function keysOfSecrets(open: () => Promise<ReadModel>): void {
  let model: ReadModel

  async function fillModel(fill: (write: ReturnType<typeof writerTo>) => Promise<void>): Promise<void> {
    const store = await openSqliteEventStore(':memory:')
    await fill(writerTo(store))
    model = await open()
    await model.open(projections)
    expect(await project(store, model)).to.deep.equal([])
    await store.close()
  }

  async function inUse(fill: (write: ReturnType<typeof writerTo>) => Promise<void>, now = time(0)) {
    await fillModel(fill)
    return Object.fromEntries(await keyIdsInUse(model, now))
  }
  afterEach(() => model.close())

  it('are those of both, and each token counts once', async () => {
    const found = await inUse(async (write) => {
      await tokenWith(write, ['k1', 'k2'])
      await tokenWith(write, ['k1', 'k1'])
      await tokenWith(write, ['k2'])
      await write(tokenStream(await tokenWith(write, ['k0', 'k3'])), [revoked()])
    })
    expect(found).to.deep.equal({ k1: 2, k2: 2 })
  })

  it('are no more that of one that has retired', async () => {
    const fill = async (write: ReturnType<typeof writerTo>) => {
      await tokenWith(write, ['k1', 'k2'], 'now')
      await tokenWith(write, ['k2', 'k2'], 'now')
    }
    expect(await inUse(fill, time(59_999))).to.deep.equal({ k1: 1, k2: 2 })
    await model.close()
    expect(await inUse(fill, AFTER_GRACE)).to.deep.equal({ k2: 2 })
  })

  it('are missing where tokens need them and a process has none of that id', async () => {
    await fillModel(async (write) => {
      await tokenWith(write, ['k1', 'k3'])
      await tokenWith(write, ['k1'])
      await tokenWith(write, ['k2'])
      await tokenWith(write, ['k4', 'k2'], 'now')
      await tokenWith(write, ['sha256'])
      await write(tokenStream(await tokenWith(write, ['k0'])), [revoked()])
    })
    const report = async (...keyIds: string[]) => {
      const peppers = keyIds.map((id) => ({ id, key: Buffer.alloc(32) }))
      return Object.fromEntries(await missingKeys(model, peppers, AFTER_GRACE))
    }
    expect(await report('k1', 'k2', 'k3')).to.deep.equal({})
    expect(await report('k2')).to.deep.equal({ k1: 2, k3: 1 })
  })
}

describe('The keys of secrets that are in use, on SQLite', () => {
  keysOfSecrets(async () => openSqliteReadModel(':memory:'))
})

describeOnMongo('The keys of secrets that are in use, on MongoDB', () => {
  let server: MongoServer
  let count = 0
  before(async () => {
    server = await someMongo()
  })
  after(() => server.stop())
  keysOfSecrets(() => openPatiently(server.url(`keys-${count++}`)))
})
