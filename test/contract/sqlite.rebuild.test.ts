import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import type { Step } from '../../src/application/ports/checkpoints.ts'
import { eventually } from '../support/suite/eventually.ts'
import { add, others, people, piece } from './readModel.fixtures.ts'
import { rebuildContract } from './rebuild.contract.ts'

rebuildContract('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-rebuild-'))
  const store = await openSqliteEventStore(join(folder, 'events.db'))
  const path = join(folder, 'read-model.db')
  return {
    store,
    serve: () => openSqliteReadModel(path),
    read: () => openSqliteReadModel(path, { readOnly: true }),
    names: async () => readdirSync(folder).filter((name) => /^read-model\.db(\.g\d+)?$/.test(name)),
    async dispose() {
      await store.close()
      rmSync(folder, { recursive: true })
    },
  }
})

describe('A SQLite read model that is offered its next generation', () => {
  let folder: string
  let models: ReadModel[]

  const open = async (readOnly = false): Promise<ReadModel> => {
    const model = await openSqliteReadModel(join(folder, 'read-model.db'), { readOnly })
    await model.open([people])
    models.push(model)
    return model
  }
  const toPlace = (n: number): Step => piece([people], n - 1, n)

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-rebuild-'))
    models = []
  })

  afterEach(async () => {
    await Promise.all(models.map((model) => model.close()))
    rmSync(folder, { recursive: true })
  })

  it('says whether there is a service to give way to', async () => {
    const [service, command] = [await open(), await open(true)]
    const beside = await command.next([people])
    expect(beside.isServed).to.equal(true)
    await beside.close()
    await service.close()
    const alone = await command.next([people])
    expect(alone.isServed).to.equal(false)
    await alone.close()
    const again = await open()
    expect(await again.checkpoint(people)).to.equal(null)
  })

  it('does not go back in the log by it', async () => {
    const [service, command] = [await open(), await open(true)]
    await service.apply([add('a', 1, { sum: { n: 1 } })], toPlace(1))
    const filled = await command.next([people])
    await filled.apply([add('a', 1, { sum: { n: 1 } })], toPlace(1))
    const taken = filled.startDualWrites()
    const next = await eventually(async () => {
      const offered = await service.handedOver()
      if (!offered) throw new Error('nothing is offered')
      return offered
    })
    await next.startDualWrites()
    await service.apply([add('a', 2, { sum: { n: 1 } })], toPlace(2))
    expect(await next.promote()).to.equal(false)
    expect(await service.get('people', 'a')).to.deep.equal({ id: 'a', n: 2 })
    await next.apply([add('a', 2, { sum: { n: 1 } })], toPlace(2))
    expect(await next.promote()).to.equal(true)
    await next.close()
    expect(await service.get('people', 'a')).to.deep.equal({ id: 'a', n: 2 })
    expect(await taken).to.equal('promotedByService')
    await filled.close()
  })

  it('does not take one that was filled for other projections', async () => {
    const [service, command] = [await open(), await open(true)]
    await command.open([others])
    const filled = await command.next([people, others])
    const waiting = filled.startDualWrites()
    await eventually(() => expect(readdirSync(folder)).to.include('read-model.db.offer'))
    expect(await service.handedOver()).to.equal(null)
    expect(readdirSync(folder)).to.not.include('read-model.db.offer')
    // When the service has gone, the rebuild promotes the file itself.
    await service.close()
    models.shift()
    expect(await waiting).to.equal('started')
    await filled.close()
  })
})
