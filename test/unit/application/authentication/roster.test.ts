import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Document } from '../../../../src/application/ports/documents.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../../../src/application/ports/errors.ts'
import { planOf } from '../../../../src/application/readModel/queryPlan.ts'
import { type Collection } from '../../../../projections/projection.ts'
import { tokens } from '../../../../projections/tokens.ts'
import { createRoster } from '../../../../src/application/authentication/roster.ts'
import { eventually, gate } from '../../../support/suite/eventually.ts'
import { sha256 } from '../../../support/events/oldTable.ts'

interface TokenRow extends Document {
  hash: string
  revokedAt: string | null
}

const row = (n: number, revokedAt: string | null = null): TokenRow => ({
  id: `id-${String(n).padStart(6, '0')}`,
  hash: sha256(String(n)),
  revokedAt,
})

/** A roster over rows. It counts how often it reads them. */
function rosterOver(rows: TokenRow[]) {
  const seen = { asked: 0, down: false, held: Promise.resolve(), now: 1_000_000 }
  const find: ReadModel['find'] = async (_, { where, order, after, limit }) => {
    seen.asked++
    // As the stores do: they refuse what no index serves.
    if (order !== 'any') planOf(tokens.collections[0] as Collection, where, order)
    await seen.held
    if (seen.down) throw new StoreUnavailableError('down')
    const [condition] = where
    const ids = condition && 'op' in condition && condition.op === 'in' ? condition.value : null
    return rows.filter(({ id }) => (ids ? ids.includes(id) : id > (after?.id ?? ''))).slice(0, limit)
  }
  const roster = createRoster({ find }, () => seen.now)
  const has = async (n: number) => roster.has([sha256(String(n))])
  return { roster, seen, has }
}

describe('The roster of tokens', () => {
  it('knows those that are there and not revoked, and asks for all of them once', async () => {
    const { has, seen } = rosterOver([
      ...Array.from({ length: 600 }, (_, n) => row(n)),
      row(600, '2026-01-01'),
    ])
    expect(await Promise.all([has(0), has(599), has(600), has(601)])).to.deep.equal([
      true,
      true,
      false,
      false,
    ])
    expect(seen.asked, 'pages').to.equal(3)
    for (let n = 601; n < 2_000; n++) expect(await has(n)).to.equal(false)
    expect(seen.asked).to.equal(3)
  })

  it('asks nothing before it is needed, whatever changes', () => {
    const { roster, seen } = rosterOver([])
    roster.changed(new Set(['a']))
    roster.changed(null)
    expect(seen.asked).to.equal(0)
  })

  it('finds one that is made later, and waits for that where nobody asked since', async () => {
    const rows = [row(1)]
    const { roster, has, seen } = rosterOver(rows)
    expect(await has(2)).to.equal(false)
    rows.push(row(2))
    roster.changed(new Set([row(2).id]))
    seen.now += 300
    expect(await has(2)).to.equal(true)
    expect(seen.asked).to.equal(2)
  })

  it('does not make a flood wait for what has just changed, and knows it a moment later', async () => {
    const rows = [row(1)]
    const { roster, has, seen } = rosterOver(rows)
    await has(2)
    rows.push(row(2))
    roster.changed(new Set([row(2).id]))
    seen.now += 150
    expect(roster.has([sha256('3')])).to.equal(false)
    await eventually(async () => expect(await has(2)).to.equal(true))
  })

  it('looks at changes at most ten times a second', async () => {
    const { roster, has, seen } = rosterOver([row(1)])
    await has(2)
    seen.now += 1_000
    for (let ms = 0; ms < 1_000; ms++) {
      roster.changed(new Set([`id ${ms}`]))
      await has(2)
      seen.now++
    }
    expect(seen.asked).to.be.within(5, 12)
  })

  it('looks at all again when any may have changed, and not for every time that is said', async () => {
    const rows = [row(1)]
    const { roster, has, seen } = rosterOver(rows)
    await has(2)
    rows.push(row(2))
    roster.changed(null)
    expect(await has(2), 'too soon').to.equal(false)
    seen.now += 10_000
    expect(await has(2)).to.equal(true)
    for (let i = 0; i < 100; i++) {
      roster.changed(null)
      await has(3)
    }
    expect(seen.asked).to.equal(2)
  })

  it('finds what is made while it looks at all', async () => {
    const rows = [row(1)]
    const { roster, has, seen } = rosterOver(rows)
    const { opened, open } = gate()
    seen.held = opened
    const first = has(5)
    await sleep(1)
    roster.changed(new Set([row(5).id]))
    open()
    expect(await first).to.equal(false)
    rows.push(row(5))
    seen.now += 300
    expect(await has(5)).to.equal(true)
  })

  it('forgets one that was found to be bad', async () => {
    const { roster, has } = rosterOver([row(1), row(2)])
    expect(await has(1)).to.equal(true)
    roster.remove([sha256('1')])
    expect([await has(1), await has(2)]).to.deep.equal([false, true])
  })

  it('knows nothing of a store that does not answer, and tries again', async () => {
    const { has, seen } = rosterOver([row(1)])
    seen.down = true
    expect(await has(1)).to.equal(false)
    seen.down = false
    expect(await has(1)).to.equal(true)
  })

  it('does not wait long for one that answers slowly', async () => {
    const { has, seen } = rosterOver([row(1)])
    const { opened, open } = gate()
    seen.held = opened
    const started = performance.now()
    expect(await has(1)).to.equal(false)
    expect(performance.now() - started).to.be.within(900, 3_000)
    open()
    await sleep(1)
    expect(await has(1)).to.equal(true)
  })
})
