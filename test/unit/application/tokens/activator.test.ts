import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { TokenDocument } from '../../../../projections/tokens.ts'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import { type Activator, createActivator } from '../../../../src/application/tokens/activator.ts'
import { createRotations } from '../../../../src/application/tokens/rotate.ts'
import { type Pepper, parsePeppers } from '../../../../src/domain/credential.ts'
import { PEPPERS } from '../../../support/processes/ledger.ts'
import { assemblePieces, context, type Pieces } from '../../../support/stores/pieces.ts'

const START = Date.parse('2100-01-01T00:00:00.000Z')
const at = (seconds: number): string => new Date(START + seconds * 1000).toISOString()

describe('The first use of a newer secret', () => {
  let folder: string
  let pieces: Pieces
  let activator: Activator
  let id: string
  /** Seconds since `START`, and monotonic milliseconds. */
  let [now, passed] = [0, 0]

  beforeEach(async () => {
    ;[now, passed] = [0, 0]
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
    pieces = await assemblePieces(folder)
    const { events, model, projector, telemetry } = pieces
    const deps = {
      store: events.store,
      readModel: model.readModel,
      project: projector.apply,
      clock: () => START + now * 1000,
      ids,
      telemetry,
    }
    activator = createActivator({ ...deps, instance: 'one', now: () => passed })
    const [pepper] = parsePeppers(PEPPERS) as [Pepper]
    const { settled } = activator
    const rotations = createRotations({ ...deps, settled, randomBytes, prefix: 'tkl', pepper })
    ;({ id } = await pieces.create('one'))
    const target = { seen: await tokenNow(), ifMatch: () => true }
    await rotations.rotate(context(), target, { graceSeconds: 60, activate: 'on_first_use' })
  })
  afterEach(async () => {
    await pieces.close()
    rmSync(folder, { recursive: true })
  })

  const tokenNow = async () => (await pieces.model.readModel.get('tokens', id)) as unknown as TokenDocument
  async function use(): Promise<void> {
    activator.activate({ tokenId: id, secret: 1, ip: null, userAgent: null })
    await activator.settled(id)
  }
  async function activations(): Promise<string[]> {
    const { data } = await pieces.queries.history(id, { limit: 100 })
    return data.filter(({ type }) => type === 'TokenSecretActivated').map((event) => event.at)
  }

  it('begins the grace when it is written down', async () => {
    now = 5
    await use()
    expect(await activations()).to.deep.equal([at(5)])
    expect(await tokenNow()).to.include({ activatedAt: at(5), retiresAt: at(65), newerIsUsed: true })
  })

  it('is written down at a later use where the event store is down: the grace begins later, never earlier', async () => {
    pieces.events.down = true
    await use()
    pieces.events.down = false
    now = 10
    await use()
    expect(await activations(), 'a store that was down is not asked at each use').to.deep.equal([])
    passed += 1000
    now = 20
    await use()
    expect(await activations()).to.deep.equal([at(20)])
    expect(await tokenNow()).to.include({ retiresAt: at(80) })
  })

  it('is not sent again with its old time where nobody knows what became of it', async () => {
    pieces.events.next = ['lost']
    await use()
    passed += 1000
    now = 30
    await use()
    expect(await activations()).to.deep.equal([at(30)])
  })

  it('is there once where only the answer was lost', async () => {
    pieces.events.next = ['landed']
    await use()
    passed += 1000
    now = 30
    await use()
    expect(await activations()).to.deep.equal([at(0)])
    expect(await tokenNow()).to.include({ retiresAt: at(60) })
  })

  it('is written once by many uses, and not at all after the rotation was ended', async () => {
    await Promise.all([use(), use(), use()])
    expect(await activations()).to.have.lengthOf(1)
    activator.activate({ tokenId: id, secret: 7, ip: null, userAgent: null })
    await activator.settled(id)
    expect(await activations()).to.have.lengthOf(1)
  })
})
