import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { untilServed } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { hammer, statusOf } from '../support/callers/hammer.ts'
import {
  type LeanFleet,
  type LeanMember,
  leanSettings,
  startLeanFleet,
} from '../support/processes/leanFleet.ts'
import { patchedService } from '../support/processes/patched.ts'
import { failingService, ownFolder } from '../support/processes/service.ts'

const ALONE = { EVENT_STORE_SHARED: 'false' }
/** Longer than a lease lasts that nobody renews. */
const GONE_MS = 6_500

/** A start that is expected to be refused. */
async function refused(fleet: LeanFleet, env: Record<string, string> = {}): Promise<string> {
  const settings = { ...leanSettings(fleet.eventStore.port), ...env }
  const { code, stdout, stderr } = await failingService(settings, await ownFolder())
  expect(code, stdout).to.equal(1)
  return stderr
}

async function used({ api }: LeanMember, name: string): Promise<{ id: string; token: string }> {
  const { status, body } = await untilServed(() => api.create({ name }))
  expect(status).to.equal(201)
  await eventually(async () => expect(await api.use(body.token)).to.equal(200))
  return body
}

describe('a process that has an EventStoreDB for itself', function () {
  this.timeout(600_000)
  let fleet: LeanFleet
  beforeEach(async () => {
    fleet = await startLeanFleet(0)
  })
  afterEach(() => fleet.close())

  it('lets no second one start, of either kind, and the start says what to do', async () => {
    const one = await fleet.add({ env: ALONE })
    const [other, sharing] = await Promise.all([refused(fleet, ALONE), refused(fleet)])
    for (const text of [other, sharing]) {
      expect(text).to.match(/^EVENT_STORE_URL esdb:\/\/127\.0\.0\.1:\d+ is in use: /)
      expect(text).to.contain('another process has it for itself, with EVENT_STORE_SHARED=false')
    }
    await used(one, 'goes on')
  })

  it('does not start beside those that share it', async () => {
    const [one] = await Promise.all([fleet.add(), fleet.add()])
    expect(await refused(fleet, ALONE)).to.contain(
      'other processes use it, and EVENT_STORE_SHARED=false says',
    )
    // Nor when the one has gone that has answered.
    expect(await one.service.stop()).to.equal(0)
    expect(await refused(fleet, ALONE)).to.contain('other processes use it')
  })

  it('is followed by the next at once after a stop, and soon after a kill', async () => {
    const one = await fleet.add({ env: ALONE })
    const { token } = await used(one, 'kept')
    expect(await one.service.stop()).to.equal(0)
    const two = await fleet.add({ env: ALONE })
    expect(await two.api.use(token)).to.equal(200)
    await two.service.kill()
    const three = await fleet.add({ env: ALONE })
    expect(await three.api.use(token)).to.equal(200)
    expect(await three.service.stop()).to.equal(0)
    const sharing = await fleet.add()
    expect(await sharing.api.use(token)).to.equal(200)
  })

  it('goes on authenticating while the event store is frozen or cut off, and answers changes with 503', async () => {
    const one = await fleet.add({ env: ALONE })
    const { id, token } = await used(one, 'used')
    const fire = hammer(one.api.url, token)
    await fire.until(200)
    for (const [leave, back] of [
      [() => fleet.eventStore.freeze(), () => fleet.eventStore.thaw()],
      [() => one.toEvents.set('refused'), () => one.toEvents.set('open')],
    ] as const) {
      leave()
      await sleep(3_000)
      expect((await one.api.patch(id, { name: 'changed' })).status).to.equal(503)
      await sleep(4_000)
      back()
      await eventually(async () =>
        expect((await one.api.patch(id, { name: 'changed' })).status).to.equal(200),
      )
    }
    await fire.stop()
    expect([...fire.statuses.keys()]).to.deep.equal([200])
    await eventually(async () =>
      expect((await one.api.usage(id)).body.total.requests).to.equal((fire.statuses.get(200) ?? 0) + 1),
    )
  })

  /** Freezes the one, lets another take over and revoke, and wakes the first. */
  async function takenOver(
    one: LeanMember,
  ): Promise<{ accepted: number[]; changed: number; events: string[] }> {
    const [{ id, token }, kept] = [await used(one, 'revoked'), await used(one, 'kept')]
    one.service.signal('SIGSTOP')
    const other = await fleet.add({ env: ALONE })
    expect((await other.api.revoke(id)).status).to.equal(204)
    const store = await openEventStoreDb(`esdb://127.0.0.1:${fleet.eventStore.port}?tls=false`, {
      readOnly: true,
    })
    try {
      const waiting = Array.from({ length: 20 }, () => statusOf(one.api.url, token))
      const change = one.api.patch(kept.id, { name: 'written in the turn of another' })
      await sleep(200)
      one.service.signal('SIGCONT')
      const accepted = await Promise.all(waiting)
      const { status } = await change
      const events = (await store.readStream(`apiToken-${kept.id}`)).map(({ type }) => type)
      return { accepted, changed: status, events }
    } finally {
      await store.close()
    }
  }

  it('accepts and writes nothing when it wakes after another one has taken over', async () => {
    const one = await fleet.add({ env: ALONE })
    const { accepted, changed, events } = await takenOver(one)
    expect(accepted).to.deep.equal(accepted.map(() => 503))
    expect([changed, events]).to.deep.equal([503, ['TokenCreated']])
    await eventually(async () => {
      const { status, body } = await one.api.call<{ checks: { event_store: string } }>('GET', '/health/ready')
      expect([status, body.checks.event_store]).to.deep.equal([503, 'taken'])
    })
    await eventually(() => expect(one.service.output()).to.contain('was taken over while this process'))
  })

  it('does both without its lease: what the test above would see', async () => {
    const command = await patchedService('src/application/sharing/eventStoreLease.js', [
      ['shared || !vigil.hasSlept()', 'true'],
      ['flaw === null && isRival', 'false && isRival'],
      [': !isHeld())', ': false)'],
      ['if (!shared && vigil.hasSlept())', 'if (false)'],
    ])
    const { accepted, changed, events } = await takenOver(await fleet.add({ env: ALONE, command }))
    expect(accepted).to.include(200)
    expect([changed, events]).to.deep.equal([200, ['TokenCreated', 'TokenUpdated']])
  })

  it('goes on when an older event store was put in its place and is taken away again', async () => {
    const first = await fleet.add({ env: ALONE })
    await fleet.eventStore.command('back-up')
    expect(await first.service.stop()).to.equal(0)
    const { api } = await fleet.add({ env: ALONE })
    const { body } = await untilServed(() => api.create({ name: 'kept' }))
    const checks = async () => {
      const answer = await api.call<{ checks: { event_store: string } }>('GET', '/health/ready')
      return [answer.status, answer.body.checks.event_store]
    }
    // By then its lease has to be renewed before the next change.
    await sleep(3_000)
    await fleet.eventStore.command('restore')
    await eventually(async () => {
      expect((await api.create({ name: 'not here' })).status).to.equal(503)
      expect(await checks()).to.deep.equal([503, 'replaced'])
    })
    expect((await api.patch(body.id, { name: 'changed' })).status).to.equal(503)
    await fleet.eventStore.command('undo-restore')
    await eventually(async () => expect(await checks()).to.deep.equal([200, 'ok']))
    expect((await untilServed(() => api.patch(body.id, { name: 'changed' }))).status).to.equal(200)
    expect(await api.use(body.token)).to.equal(200)
  })

  it('is asked in vain when it is frozen for less than its lease lasts, and answers when it wakes', async () => {
    const one = await fleet.add({ env: ALONE })
    const { token } = await used(one, 'kept')
    one.service.signal('SIGSTOP')
    const second = refused(fleet, ALONE)
    await sleep(GONE_MS / 4)
    one.service.signal('SIGCONT')
    expect(await second).to.contain('another process has it for itself')
    expect(await one.api.use(token)).to.equal(200)
  })
})
