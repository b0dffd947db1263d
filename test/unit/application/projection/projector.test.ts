import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { DocumentChange } from '../../../../projections/projection.ts'
import { projections } from '../../../../projections/index.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { createProjector } from '../../../../src/application/projection/projector.ts'
import { genesis, link } from '../../../../src/domain/chain.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { NewEvent, StoredEvent } from '../../../../src/domain/events.ts'
import { heartbeatStream, tokenStream, usageStream } from '../../../../src/domain/streams.ts'
import { eventually } from '../../../support/suite/eventually.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'

const AT = '2026-03-01T10:00:00.000Z'
const VICTIM = '00000000-0000-7000-8000-000000000001'
const OTHER = '00000000-0000-7000-8000-000000000002'
const USAGE = usageStream('instance', AT)

let made = 0
const event = (type: NewEvent['type'], data: object): NewEvent =>
  ({
    id: `event-${++made}`,
    type,
    data,
    metadata: {
      at: AT,
      actor: { kind: 'jwt', id: 'a' },
      requestId: 'r',
      correlationId: 'r',
      schemaVersion: 1,
      chain: '',
    },
  }) as NewEvent

const created = (tokenId: string): NewEvent =>
  event('TokenCreated', {
    tokenId,
    accountId: 'a',
    name: 'first',
    hash: tokenId,
    hashKeyId: 'k',
    hint: 'h',
    scopes: [],
    expiresAt: null,
  })

const used = (tokenId: string): NewEvent =>
  event('TokensUsed', {
    entries: [
      {
        tokenId,
        accountId: 'a',
        count: 1,
        firstAt: AT,
        lastAt: AT,
        outcomes: { '2xx': 1 },
        routes: [{ method: 'GET', route: '/', count: 1 }],
        tokenRevision: 0,
        secret: 0,
        lastIp: null,
        lastUserAgent: null,
      },
    ],
  })

/** A sound log of these streams, one after the other. */
function logOf(streams: Record<string, NewEvent[]>): StoredEvent[] {
  const log = Object.entries(streams).flatMap(([stream, events]) =>
    link(genesis(stream), events).map((linked, revision) => ({ ...linked, stream, revision })),
  )
  return log.map((linked, i) => ({ ...linked, position: String(i + 1) }))
}

const soundLog = (): StoredEvent[] =>
  logOf({
    [tokenStream(VICTIM)]: [
      created(VICTIM),
      event('TokenUpdated', { name: 'second' }),
      event('TokenUpdated', { name: 'third' }),
    ],
    [tokenStream(OTHER)]: [created(OTHER), event('TokenRevoked', { reason: null })],
    [USAGE]: [used(VICTIM), used(OTHER), used(OTHER)],
  })

/** A damaged row as the stores read it: only its names are left, and they may be wrong. */
const unreadable = (stored: StoredEvent): StoredEvent => ({ ...stored, data: null, metadata: null })

/** @param indexed the events that the store's own index finds; a read throws if the index is damaged */
function storeOf(log: StoredEvent[], indexed = log, afterwards?: () => Promise<never>): EventStore {
  return {
    head: async () => String(log.length),
    async readStream(stream: string, from = 0, limit = Number.POSITIVE_INFINITY) {
      const found = indexed.filter((one) => one.stream === stream && one.revision >= from).slice(0, limit)
      if (found.some(({ metadata }) => metadata === null)) throw new DamagedError('damaged')
      return found
    },
    async *subscribe() {
      yield { events: log, caughtUp: true }
      await afterwards?.()
    },
  } as unknown as EventStore
}

async function project(
  store: EventStore,
  apply: (changes: readonly DocumentChange[]) => void = () => {},
  follower?: Parameters<typeof createProjector>[0]['follower'],
) {
  const changes: DocumentChange[] = []
  const damaged: string[] = []
  const telemetry = { ...countingTelemetry(), damaged: (kind: string) => void damaged.push(kind) }
  const readModel = {
    open: async () => {},
    checkpoint: async () => null,
    acquireLease: async () => ({ term: 1 }),
    loss: () => null,
    losses: () => 0,
    trust: async () => {},
    publish: async () => {},
    releaseLease: async () => {},
    async apply(some: readonly DocumentChange[]) {
      apply(some)
      changes.push(...some)
    },
  } as unknown as ReadModel
  const projector = createProjector({
    store,
    readModel,
    projections,
    telemetry,
    id: 'p',
    onChanged() {},
    ...(follower && { follower }),
  })
  await projector.start()
  const closed = changes.filter((change) => change.kind === 'put' && 'stopped' in change.fields)
  return {
    projector,
    damaged,
    /** The ids of the tokens that were closed, and the first revision from which each was. */
    closed: closed.map((change) => [change.id, (change as { revision: number }).revision]),
    names: changes.flatMap((change) =>
      change.kind === 'put' && change.fields.name ? [change.fields.name] : [],
    ),
    uses: changes.filter(({ id }) => id.includes('_hour_')).length,
  }
}

function replaced(
  log: StoredEvent[],
  at: number,
  change: (stored: StoredEvent) => StoredEvent,
): StoredEvent[] {
  return log.map((stored, i) => (i === at ? change(stored) : stored))
}

describe('the projector', () => {
  it('refuses nothing of a sound log', async () => {
    const { closed, names, uses, damaged } = await project(storeOf(soundLog()))
    expect({ closed, names, uses, damaged }).to.deep.equal({
      closed: [],
      names: ['first', 'second', 'third', 'first'],
      uses: 3,
      damaged: [],
    })
  })

  it('tells what it has applied, signals included, which are nothing to apply', async () => {
    const instance = '0195506b-0000-7f10-8a2b-3c4d5e6f7081'
    const beat = event('HeartbeatWritten', {})
    // The server has dropped the ones before it.
    const late = { ...beat, stream: heartbeatStream(instance), revision: 7, position: '99' }
    const log = [...soundLog(), late]
    const told: string[] = []
    let followed: readonly string[] = []
    const store: EventStore = {
      ...storeOf(log),
      async *subscribe(_after, prefixes) {
        followed = prefixes
        yield { events: log.slice(0, 5), caughtUp: false }
        yield { events: log.slice(5), caughtUp: true }
        yield { events: [late], caughtUp: true }
      },
    }
    const { damaged, uses, projector } = await project(store, () => told.push('applies'), {
      stream: heartbeatStream(instance),
      begins: () => told.push('begins'),
      applied: (events) => told.push(events.at(-1)?.position ?? ''),
    })
    await projector.stop()
    expect({ damaged, uses }).to.deep.equal({ damaged: [], uses: 3 })
    expect(followed).to.include(heartbeatStream(instance))
    expect(told).to.deep.equal(['begins', 'applies', '5', 'applies', '99', '99'])
  })

  it('closes the token of an altered event, and serves nothing of it', async () => {
    const log = replaced(soundLog(), 1, (stored) => ({ ...stored, data: { name: 'Mallory' } }))
    const { closed, names, damaged } = await project(storeOf(log))
    expect(closed).to.deep.equal([[VICTIM, 1]])
    expect(names).to.deep.equal(['first', 'third', 'first'])
    expect(damaged).to.deep.equal(['chain'])
  })

  it('closes the token of an inserted event', async () => {
    const forged = link('guessed', [event('TokenUpdated', { name: 'Mallory' })])[0] as NewEvent
    const log = [...soundLog(), { ...forged, stream: tokenStream(VICTIM), revision: 3, position: '9' }]
    expect((await project(storeOf(log))).closed).to.deep.equal([[VICTIM, 3]])
  })

  it('closes the token of a missing event', async () => {
    const log = soundLog().filter((_, i) => i !== 1)
    const { closed, names } = await project(storeOf(log))
    expect(closed).to.deep.equal([[VICTIM, 2]])
    expect(names).to.deep.equal(['first', 'first'])
  })

  it('closes the token of an event that cannot be read', async () => {
    const log = replaced(soundLog(), 1, unreadable)
    const { closed, names } = await project(storeOf(log))
    expect(closed[0]).to.deep.equal([VICTIM, 1])
    expect(names).to.deep.equal(['first', 'first'])
  })

  it('leaves out a usage event that cannot be read, and only that', async () => {
    const { closed, uses, damaged } = await project(storeOf(replaced(soundLog(), 6, unreadable)))
    expect({ closed, uses, damaged }).to.deep.equal({ closed: [], uses: 2, damaged: ['chain'] })
  })

  for (const [what, renamed] of [
    ['stream', { stream: 'apiTokem-of nobody' }],
    ['stream to that of another token', { stream: tokenStream(OTHER), revision: 0 }],
    ['revision', { revision: 17 }],
  ] as const) {
    it(`does not start with an event that has lost its ${what}: it might be a revocation`, async () => {
      const sound = soundLog()
      const log = replaced(sound, 4, (stored) => unreadable({ ...stored, ...renamed }))
      const error = await project(storeOf(log, replaced(sound, 4, unreadable))).catch(
        (thrown: Error) => thrown,
      )
      expect(error).to.be.instanceOf(DamagedError)
      expect((error as Error).message).to.include('position 5')
    })
  }

  it('does not start on a read model that is damaged, instead of trying for ever', async () => {
    const attempt = project(storeOf(soundLog()), () => {
      throw new DamagedError('the document is damaged')
    })
    expect(await attempt.catch((error: Error) => error.message)).to.equal('the document is damaged')
  })

  it('takes nothing from another log that a server has come back with, and goes on when it has the right one', async () => {
    const log = soundLog()
    let [isRight, subscriptions] = [true, 0]
    const store: EventStore = {
      ...storeOf(log),
      async at(position) {
        const found = log.find((one) => one.position === position) ?? null
        return found && (isRight ? found : { ...found, id: 'of another log' })
      },
      async *subscribe(_after, _prefixes, signal) {
        yield { events: log.slice(0, 3), caughtUp: true }
        if (subscriptions++ === 0) isRight = false
        yield { events: [], caughtUp: false, interrupted: true }
        yield { events: log.slice(3), caughtUp: true }
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      },
    }
    const { projector, names } = await project(store)
    await sleep(50)
    expect(names).to.deep.equal(['first', 'second', 'third'])
    expect(projector.lag()).to.be.above(0)
    isRight = true
    await eventually(() => expect(projector.lag()).to.equal(0))
    await projector.stop()
  })

  it('tells when what it applies next may be of another log: at each beginning, and after an interruption', async () => {
    const log = soundLog()
    const told: (string | number)[] = []
    const store: EventStore = {
      ...storeOf(log),
      async *subscribe(_after, _prefixes, signal) {
        yield { events: log.slice(0, 3), caughtUp: true }
        yield { events: [], caughtUp: false }
        yield { events: log.slice(3, 5), caughtUp: true }
        yield { events: [], caughtUp: false, interrupted: true }
        yield { events: log.slice(5), caughtUp: true }
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      },
      at: async (position) => log.find((one) => one.position === position) ?? null,
    }
    const { projector } = await project(store, () => {}, {
      stream: 'signals',
      begins: () => void told.push('begins'),
      applied: ({ length }) => void (length > 0 && told.push(length)),
    })
    await eventually(() => expect(told).to.deep.equal(['begins', 3, 2, 'begins', 3]))
    await projector.stop()
  })

  it('that had to end falls behind, so that somebody sees it', async () => {
    const { projector } = await project(
      storeOf(soundLog(), soundLog(), async () => {
        await sleep(10)
        throw new DamagedError('no event at position 9')
      }),
    )
    expect(projector.lag()).to.equal(0)
    await sleep(60)
    expect(projector.lag()).to.be.above(0)
    await projector.stop()
  })
})
