import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  checkAddresses,
  checkNode,
  checkSecretsFile,
  assessSpace,
  settingsInUse,
} from '../../../../scripts/doctor/hostChecks.ts'
import { readSettings } from '../../../../src/settings/settings.ts'
import { MOST_LAG } from '../../../../scripts/cli/projectionLag.ts'
import { assessForeign, assessLag } from '../../../../scripts/doctor/projectionChecks.ts'
import { assessFile, assessPeppers, assessRefused } from '../../../../scripts/doctor/storeChecks.ts'
import { assessOldestUsage } from '../../../../scripts/doctor/usageChecks.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'

describe('What doctor makes of', () => {
  it('Node: 20.19 is the oldest', () => {
    const versions = ['18.20.1', '20.18.9', '20.19.0', '22.0.0', '24.21.0']
    const statuses = versions.map((version) => checkNode(version).status)
    expect(statuses).to.deep.equal(['fail', 'fail', 'ok', 'ok', 'ok'])
  })

  it('settings: every name the service reads, and no value', () => {
    const settings = settingsInUse({ PORT: '8080', JWT_SECRET: 'hush', HOST: '' })
    const names = settings.map(({ name }) => name)
    expect(names).to.include.members([
      'NODE_ENV',
      'HOST',
      'PORT',
      'EVENT_STORE_URL',
      'READ_MODEL_URL',
      'JWT_SECRET',
      'JWT_PUBLIC_KEY_FILE',
      'JWT_KEYS_FILE',
      'JWT_ISSUER',
      'JWT_AUDIENCE',
      'JWT_ACCOUNT_CLAIM',
      'JWT_LEEWAY_SECONDS',
      'TOKEN_PREFIX',
      'API_TOKEN_HEADER',
      'TOKEN_PEPPERS',
      'TOKEN_MAX_LIFETIME_DAYS',
      'MAX_TOKENS_PER_ACCOUNT',
      'USAGE_FLUSH_MS',
      'AUDIT_MODE',
      'RATE_LIMIT_FAILURES_PER_MINUTE',
      'RATE_LIMIT_WRITES_PER_MINUTE',
      'TRUST_PROXY_HOPS',
      'TRUST_PROXY_FROM',
      'LOG_LEVEL',
    ])
    expect(settings.filter(({ set }) => set).map(({ name }) => name)).to.have.members(['PORT', 'JWT_SECRET'])
    expect(JSON.stringify(settings)).not.to.contain('hush')
  })

  it('addresses of callers: nobody can see from here whether a proxy stands in front', () => {
    const check = (env: Record<string, string>) => checkAddresses(readSettings(env))
    const unset = check({})
    expect(unset).to.include({ name: 'caller addresses', status: 'warn' })
    expect(unset.remedy).to.contain('TRUST_PROXY_HOPS')
    expect(check({ TRUST_PROXY_FROM: '10.0.0.0/8' }).detail).to.contain(
      'means nothing without TRUST_PROXY_HOPS',
    )
    expect(check({ TRUST_PROXY_HOPS: '2' })).to.include({ status: 'ok' })
    expect(check({ TRUST_PROXY_HOPS: '2', TRUST_PROXY_FROM: '10.0.0.0/8' }).detail).to.contain('entry 2')
  })

  it('disk space', () => {
    const MIB = 1024 ** 2
    expect([99, 100, 1023, 1024].map((n) => assessSpace(n * MIB).status)).to.deep.equal([
      'fail',
      'warn',
      'warn',
      'ok',
    ])
  })

  it('a write-ahead log that grows', () => {
    const statusOf = (n: number) =>
      assessFile('event store', 'events.db', { wal_bytes: n * 1024 ** 2 }).status
    expect([0, 64, 256, 257].map(statusOf)).to.deep.equal(['ok', 'ok', 'ok', 'warn'])
  })

  it('the mode of dev-secrets', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
    const file = join(folder, 'dev-secrets.json')
    try {
      expect(checkSecretsFile(file).status).to.equal('ok')
      await writeFile(file, '{}')
      const statuses = []
      for (const mode of [0o600, 0o400, 0o640, 0o604]) {
        await chmod(file, mode)
        statuses.push(checkSecretsFile(file).status)
      }
      expect(statuses).to.deep.equal(['ok', 'ok', 'fail', 'fail'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('a projection: caught up, behind, never filled', () => {
    const of = { name: 'tokens', version: 1 }
    const assess = (checkpoint: string | null, lag: number) => assessLag(of, { checkpoint, lag })
    expect(assess('0003', 0).status).to.equal('ok')
    expect(assess(null, 0).status).to.equal('ok')
    expect(assess('0001', 2)).to.include({ status: 'warn', detail: 'at 0001, 2 events behind' })
    expect(assess(null, 3).status).to.equal('warn')
    expect(assess('0001', MOST_LAG).detail).to.contain('or more')
  })

  it('projections of another log: once for all, with what may be the cause', () => {
    const foreign = (name: string, checkpoint: string, why: 'ahead' | 'other') =>
      ({ projection: { name, version: 1 }, checkpoint, why }) as const
    const found = ['a', 'b'].map((name) => foreign(name, '0004', 'ahead'))
    const check = assessForeign([...found, foreign('c', '0002', 'other')])
    expect(check).to.include({ name: 'projections', status: 'fail' })
    expect(check.detail).to.equal(
      'at 0004, past the end of the log; at 0002, where the log has another event: a v1, b v1, c v1',
    )
    expect(check.remedy).to.contain('EVENT_STORE_URL')
    expect(check.facts.projections).to.have.lengthOf(3)
  })

  it('refused events: which they are, and how many more', () => {
    expect(assessRefused({ events: 0, first: [] }).status).to.equal('ok')
    const event = { position: '1', type: 'TokenUsed', stream: 'tokenUsage-a_20260301', revision: 3 }
    const found = assessRefused({ events: 9, first: [{ ...event, reason: 'it is damaged', uses: 5 }] })
    expect(found.status).to.equal('warn')
    expect(found.detail).to.equal(
      '9 events: revision 3 of tokenUsage-a_20260301 is refused: it is damaged, 5 uses not counted; and 8 more',
    )
  })

  it('the oldest usage event: past its time where a scavenge would take it', () => {
    const now = Date.parse('2026-11-27T12:00:00.000Z')
    const stream = 'tokenUsage-a_20261001'
    const event = (at: string) => ({ stream, metadata: { at } }) as unknown as StoredEvent
    const [old, young] = [event('2026-10-01T00:00:00.000Z'), event('2026-11-20T00:00:00.000Z')]
    const assess = (oldest: StoredEvent | null, notLast: StoredEvent | null, keptDays: number | null) =>
      assessOldestUsage({ event: oldest, notLast }, { keptDays, now })
    expect(assess(null, null, 30)).to.include({ status: 'ok', detail: 'none' })
    expect(assess(old, old, null).status).to.equal('ok')
    expect(assess(young, young, 30).status).to.equal('ok')
    expect(assess(old, young, 30).status, 'a scavenge leaves the last event of a stream').to.equal('ok')
    const late = assess(old, old, 30)
    expect(late.status).to.equal('warn')
    expect(late.detail).to.contain(`2026-10-01T00:00:00.000Z in ${stream}`)
    expect(late.facts.age_days).to.equal(57)
    expect(assess(old, old, 50).status, 'a week later than asked for').to.equal('ok')
  })

  it('peppers: each that a token needs has to be there', () => {
    const inUse = new Map([
      ['k1', 2],
      ['k2', 1],
    ])
    expect(assessPeppers(inUse, new Set(['k1', 'k2', 'k3']), false).status).to.equal('ok')
    expect(assessPeppers(new Map(), new Set(), false).status).to.equal('ok')
    const lacking = assessPeppers(inUse, new Set(['k2']), false)
    expect(lacking.status).to.equal('fail')
    expect(lacking.facts.missing).to.deep.equal(['k1'])
    expect(lacking.detail).to.contain('k1 (2 tokens cannot be used)')
  })

  it('peppers: imported tokens need none, but to be accepted', () => {
    const imported = new Map([
      ['k1', 2],
      ['sha256', 3],
    ])
    const accepted = assessPeppers(imported, new Set(['k1']), true)
    expect(accepted).to.include({ status: 'ok', detail: 'in use: k1 (2 tokens), 3 imported tokens' })
    const refused = assessPeppers(imported, new Set(['k1']), false)
    expect(refused.status).to.equal('warn')
    expect(refused.remedy).to.contain('ACCEPT_LEGACY_TOKENS')
    expect(assessPeppers(imported, new Set(), false).facts.missing).to.deep.equal(['k1'])
  })
})
