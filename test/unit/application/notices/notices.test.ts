import { expect } from 'chai'
import { tokens } from '../../../../projections/tokens.ts'
import { ids } from '../../../../src/application/eventLog/ids.ts'
import { createNotices, type Notices } from '../../../../src/application/notices/notices.ts'
import type { Document, Query } from '../../../../src/application/ports/documents.ts'
import { createExecutor } from '../../../../src/application/tokens/execute.ts'
import type { RecordedEvent } from '../../../../src/domain/events.ts'
import { isOfToken } from '../../../../src/domain/streams.ts'
import { create, revoke } from '../../../../src/domain/decide.ts'
import { memoryStore } from '../../../support/stores/memoryStore.ts'
import { countingTelemetry } from '../../../support/stores/pieces.ts'
import { eventually } from '../../../support/suite/eventually.ts'

const DAY = 86_400_000
const START = Date.parse('2026-11-27T12:00:00.000Z')
const iso = (time: number): string => new Date(time).toISOString()

describe('Notices that tokens expire', () => {
  let now: number
  let memory: ReturnType<typeof memoryStore>
  let running: Notices[]
  /** How many events the documents lack, of those at the end of the log. */
  let behind: number

  /** The documents as the projection makes them. */
  const readModel = {
    async find(_: string, { where, after }: Query) {
      const [due] = where
      const documents = new Map<string, Document>()
      for (const stored of memory.log.filter(isOfToken).slice(0, behind === 0 ? undefined : -behind)) {
        for (const change of tokens.project(stored as RecordedEvent)) {
          if (change.kind !== 'put') continue
          documents.set(change.id, { ...(documents.get(change.id) ?? { id: change.id }), ...change.fields })
        }
      }
      const limit = due && 'value' in due ? String(due.value) : ''
      return after
        ? []
        : [...documents.values()].filter(({ noticeAt }) => typeof noticeAt === 'string' && noticeAt <= limit)
    },
  }
  const deps = () => ({
    store: memory.store,
    project: async () => {},
    clock: () => now,
    ids,
    telemetry: countingTelemetry(),
    readModel,
    instance: ids.random(),
    everyMs: 2,
  })
  const run = (leads: boolean) => {
    const notices = createNotices({ ...deps(), leads: () => leads })
    running.push(notices)
    notices.start()
  }
  const context = {
    actor: { kind: 'jwt' as const, id: 'acct_1' },
    requestId: 'r',
    correlationId: 'r',
    ip: null,
    userAgent: null,
  }

  async function make(expiresAt: string): Promise<string> {
    const tokenId = ids.random()
    const { execute } = createExecutor(deps())
    const secret = { hash: ids.digest(tokenId), hashKeyId: 'k1', hint: '…' }
    const described = { description: null, metadata: {}, allowedIps: null, rotatable: false }
    const data = { tokenId, accountId: 'acct_1', name: 'x', ...secret, scopes: [], expiresAt, ...described }
    await execute({ context, tokenId, from: null, decide: (state) => create(state, data) })
    return tokenId
  }
  const told = () =>
    memory.log
      .filter(({ type }) => type.startsWith('TokenExp'))
      .map(({ type, data }) => `${type} ${(data as { days?: number }).days ?? ''}`.trim())

  beforeEach(() => {
    now = START
    memory = memoryStore()
    running = []
    behind = 0
  })
  afterEach(() => Promise.all(running.map((notices) => notices.stop())))

  it('are written once, however many processes write at once, from documents of whatever age', async () => {
    await make(iso(START + 10 * DAY))
    now += 4 * DAY
    for (let n = 0; n < 5; n++) run(true)
    await eventually(() => expect(told()).to.deep.equal(['TokenExpiring 7']))
    behind = 1
    await new Promise((resolve) => setTimeout(resolve, 30))
    now += 6 * DAY
    await eventually(() => expect(told()).to.deep.equal(['TokenExpiring 7', 'TokenExpired']))
    expect(memory.log.at(-1)?.metadata).to.deep.include({ informational: true })
    expect(memory.log.at(-1)?.metadata).to.have.nested.property('actor.kind', 'system')
  })

  it('are not written of a token that was revoked, though the documents do not say so yet', async () => {
    const tokenId = await make(iso(START + 10 * DAY))
    const { execute } = createExecutor(deps())
    const from = { state: { status: 'none' as const }, revision: -1, chain: `apiToken-${tokenId}` }
    await execute({ context, tokenId, from, decide: (state) => revoke(state, null, () => true) })
    behind = 1
    now += 4 * DAY
    run(true)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(told()).to.deep.equal([])
  })

  it('are written by whoever is there, when the process that leads has not for 5 s', async () => {
    await make(iso(START + 10 * DAY))
    run(false)
    now = START + 3 * DAY + 4_999
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(told()).to.deep.equal([])
    now += 1
    await eventually(() => expect(told()).to.deep.equal(['TokenExpiring 7']))
  })

  it('are written of others where the history of one token is damaged', async () => {
    await make(iso(START + 10 * DAY))
    const [first] = memory.log
    if (first) first.data = { ...(first.data as object), name: 'Mallory' }
    await make(iso(START + 10 * DAY))
    now += 4 * DAY
    run(true)
    await eventually(() => expect(told()).to.deep.equal(['TokenExpiring 7']))
  })
})
