import { setTimeout as sleep } from 'node:timers/promises'
import { untilServed } from '../../test/support/callers/api.ts'
import { eventually } from '../../test/support/suite/eventually.ts'
import { randomTokens } from '../../test/support/callers/flood.ts'
import { hammer, statusOf } from '../../test/support/callers/hammer.ts'
import { type LeanMember, startLeanFleet } from '../../test/support/processes/leanFleet.ts'
import { patchedService } from '../../test/support/processes/patched.ts'
import { attack } from './lab.ts'

/**
 * Somebody has a stolen token, and a process that does not hear of its revocation: the network between it and the event
 * store is cut, or it is stopped. Each process has a read model of its own, so nothing but the event store tells it.
 */

const BOUND_MS = 2_000
const FLOOD_MS = 5_000

await attack('A process on EventStoreDB alone that does not hear of a revocation', async (report) => {
  const { saw, control, bound } = report
  const fleet = await startLeanFleet(2)
  const [one, deaf] = fleet.members as [LeanMember, LeanMember]

  /** @returns how long after the 204 the last request was sent that was accepted, in milliseconds */
  async function outlives(other: LeanMember, unhear: () => void): Promise<number> {
    const { body } = await untilServed(() => one.api.create({ name: 'stolen' }))
    await eventually(async () => {
      if ((await other.api.use(body.token)) !== 200) throw new Error('not known yet')
    })
    const thief = hammer(other.api.url, body.token)
    unhear()
    await untilServed(() => one.api.revoke(body.id))
    const revoked = performance.now()
    await sleep(BOUND_MS + 2_000)
    await thief.stop()
    other.toEvents.set('open')
    return Math.round(thief.lastAccepted() - revoked)
  }

  /** @returns the answers to requests that wait in the sockets of a process while it is stopped */
  async function asleep(other: LeanMember): Promise<number[]> {
    const { body } = await untilServed(() => one.api.create({ name: 'stolen, too' }))
    await eventually(async () => {
      if ((await other.api.use(body.token)) !== 200) throw new Error('not known yet')
    })
    other.service.signal('SIGSTOP')
    await untilServed(() => one.api.revoke(body.id))
    const waiting = Array.from({ length: 20 }, () => statusOf(other.api.url, body.token))
    await sleep(BOUND_MS + 500)
    other.service.signal('SIGCONT')
    return Promise.all(waiting)
  }

  const command = await patchedService('src/application/sharing/proofs.js', [
    ['TRUSTED_MS = 2_000', 'TRUSTED_MS = Infinity'],
  ])
  const trusting = await fleet.add({ command })
  const longest = await outlives(trusting, () => trusting.toEvents.set('silent'))
  control(`without proofs it accepts the token ${longest} ms after its revocation`, longest > BOUND_MS)
  const trusted = await asleep(trusting)
  control(`and after it has slept: ${[...new Set(trusted)].join(', ')}`, trusted.includes(200))

  for (const mode of ['silent', 'refused'] as const) {
    const ms = await outlives(deaf, () => deaf.toEvents.set(mode))
    bound(`cut off (${mode}) it accepts the token for ${Math.max(ms, 0)} ms`, ms < BOUND_MS)
  }
  await eventually(async () => {
    if ((await deaf.api.call('GET', '/health/ready')).status !== 200) throw new Error('not ready yet')
  })
  const answers = await asleep(deaf)
  bound(`after it has slept: ${[...new Set(answers)].join(', ')}`, !answers.includes(200))

  const beats = async (): Promise<number> => {
    const { body } = await one.api.call<string>('GET', '/metrics')
    return Number(/^tokenledger_heartbeats_total (\d+)$/m.exec(body)?.[1])
  }
  const before = await beats()
  const strangers = randomTokens(64).map((token) => hammer(one.api.url, token))
  const begun = performance.now()
  await sleep(FLOOD_MS)
  await Promise.all(strangers.map((fire) => fire.stop()))
  const seconds = (performance.now() - begun) / 1000
  const asked = strangers.reduce((sum, { statuses }) => sum + (statuses.get(401) ?? 0), 0)
  const written = (await beats()) - before
  saw(`${asked} tokens that there are not were looked for in ${seconds.toFixed(1)} s`)
  bound(`they have it write ${written} events`, written <= 10 + 10 * seconds + 1)
  await fleet.close()
})
