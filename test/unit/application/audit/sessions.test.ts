import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { auditSessions, type OpenedSession } from '../../../../src/application/audit/sessions.ts'
import type { Damage } from '../../../../src/application/audit/verifyLog.ts'
import type { NewEvent } from '../../../../src/domain/events.ts'
import { portalStream, tokenStream } from '../../../../src/domain/streams.ts'
import { created, time, writerTo } from '../../../support/events/audited.ts'
import { type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'

const opened = (sessionId: string, accountId: string, schemaVersion = 1): NewEvent =>
  ({
    id: randomUUID(),
    type: 'PortalSessionOpened',
    data: {
      sessionId,
      accountId,
      subject: 'ada',
      can: ['read'],
      returnUrl: null,
      expiresAt: time(3_600_000),
    },
    metadata: {
      at: time(0),
      actor: { kind: 'user', id: 'ada' },
      requestId: 'request-1',
      correlationId: 'request-1',
      ip: '203.0.113.7',
      userAgent: 'Firefox',
      schemaVersion,
    },
  }) as unknown as NewEvent

describe('An audit of sessions of the page', () => {
  const id = randomUUID()
  let memory: MemoryStore
  let write: ReturnType<typeof writerTo>

  beforeEach(async () => {
    memory = memoryStore()
    write = writerTo(memory.store)
    await write(tokenStream(id), [created(id)])
    await write(portalStream('1'), [opened('1', 'acct_1')])
    await write(portalStream('2'), [opened('2', 'acct_2')])
  })

  async function audit(accountId: string | null = null) {
    const found: OpenedSession[] = []
    const damages: Damage[] = []
    const audited = await auditSessions(memory.store, {
      accountId,
      onSession: (session) => void found.push(session),
      onDamage: (damage) => void damages.push(damage),
    })
    expect(audited.sessions).to.equal(found.length)
    expect(audited.damages).to.equal(damages.length)
    return { found, damages, events: audited.events }
  }

  it('says who came, when, from where, and what they might do', async () => {
    const { found, damages, events } = await audit()
    expect(found.map(({ sessionId }) => sessionId)).to.deep.equal(['1', '2'])
    expect(found[0]).to.deep.equal({
      sessionId: '1',
      at: time(0),
      expiresAt: time(3_600_000),
      accountId: 'acct_1',
      subject: 'ada',
      can: ['read'],
      returnUrl: null,
      ip: '203.0.113.7',
      userAgent: 'Firefox',
      requestId: 'request-1',
    })
    expect([damages, events]).to.deep.equal([[], 3])
  })

  it('can be of one account', async () => {
    expect((await audit('acct_2')).found.map(({ sessionId }) => sessionId)).to.deep.equal(['2'])
    expect((await audit('acct_3')).found).to.deep.equal([])
  })

  it('names an event that this version does not understand, and shows the others', async () => {
    await write(portalStream('3'), [opened('3', 'acct_1', 99)])
    const { found, damages } = await audit('acct_1')
    expect(found).to.have.lengthOf(1)
    expect(damages.map(({ stream, what }) => [stream, what])).to.deep.equal([
      [portalStream('3'), 'is of an unknown version of PortalSessionOpened'],
    ])
  })

  it('leaves out what is not as it was written', async () => {
    const altered = memory.log.find(({ stream }) => stream === portalStream('2'))
    Object.assign(altered?.data ?? {}, { subject: 'mallory' })
    const { found, damages } = await audit()
    expect(found.map(({ sessionId }) => sessionId)).to.deep.equal(['1'])
    expect(damages).to.have.lengthOf(1)
  })
})
