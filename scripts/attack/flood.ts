import { startFlood } from '../../test/support/callers/flood.ts'
import { floods, flooded, goodTokens, type FloodResult, shown } from '../../test/support/callers/flooded.ts'
import { startMongod } from '../../test/support/stores/mongod.ts'
import { type Environment, startService } from '../../test/support/processes/service.ts'
import { attack, type Report } from './lab.ts'

/**
 * Callers send random tokens of the right form on 1,500 connections, beside a few callers with good tokens: first all
 * from the address that the good callers have as well, then from many addresses. Then the same against a service that
 * has just started, and has never seen the good tokens.
 */

const FLOOD_MS = 2_000
const LIMIT = 600

async function attackOn(name: string, env: Environment, { saw, control, bound }: Report): Promise<void> {
  const settings = {
    RATE_LIMIT_FAILURES_PER_MINUTE: String(LIMIT),
    TRUST_PROXY_HOPS: '1',
    MAX_TOKENS_PER_ACCOUNT: '10000',
    ...env,
  }
  const first = await startService(settings)
  const tokens = await goodTokens(first.url, 20)
  const say = (what: string, { p99, perSecond, statuses, wrong, lookUps }: FloodResult) =>
    saw(
      `${name}, ${what}: ${perSecond.toFixed(0)} requests/s (${shown(statuses)}), ${lookUps} look-ups; ` +
        `good tokens p99 ${p99.toFixed(1)} ms, other answers: ${shown(wrong)}`,
    )
  const beside = async (url: string, what: string, requests: readonly string[] | null, ms = FLOOD_MS) => {
    const seen = await flooded(url, tokens, requests, ms)
    say(what, seen)
    return seen
  }

  await beside(first.url, 'quiet', null, 1_000)
  const harmless = await beside(first.url, 'a flood of /health/live', floods.harmless)
  control(`${name}: good tokens are served beside a flood that asks no store`, harmless.wrong.size === 0)
  const one = await beside(first.url, 'random tokens from the same address', floods.oneAddress)
  const many = await beside(first.url, 'random tokens from many addresses', floods.manyAddresses)
  await first.stop()

  const second = await startService(settings, first.folder)
  const running = await startFlood(second.url, floods.oneAddress, 100)
  const unseen = await beside(second.url, 'the same after a start', floods.oneAddress, 1_000)
  await running.stop()
  await second.stop()

  for (const [what, seen] of Object.entries({ 'their own address': one, 'many addresses': many })) {
    bound(`${name}: a flood from ${what} has no other answer for good tokens than 200`, seen.wrong.size === 0)
    bound(`${name}: their p99 is at most twice that of the harmless flood`, seen.p99 <= 2 * harmless.p99)
  }
  bound(`${name}: nor has it for good tokens that were never seen`, unseen.wrong.size === 0)
  bound(`${name}: one address costs at most ${LIMIT} look-ups a minute`, one.lookUps <= LIMIT)
}

await attack('A flood of random tokens beside good ones', async (report) => {
  await attackOn('SQLite', {}, report)
  const mongod = await startMongod({ set: 'flood' })
  try {
    await attackOn('MongoDB', { READ_MODEL_URL: mongod.url('flood') }, report)
  } finally {
    await mongod.stop()
  }
})
