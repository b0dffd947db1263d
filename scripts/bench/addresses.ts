import { isInside, parseBlocks } from '../../src/domain/address.ts'

export interface AddressCheck {
  name: string
  blocks: number
  /** Of CPU time, for one check. */
  micros: number
}

const CHECKS = 100_000
const TURNS = 9

const IPV4 = (i: number): string => `10.${i}.7.128/25`
const IPV6 = (i: number): string => `2001:db8:${i.toString(16)}::/48`

/** What it costs to find out whether a token that is bound to addresses may be used from one: the median of turns. */
export function benchAddresses(): AddressCheck[] {
  return [1, 100].flatMap((blocks) =>
    [
      { name: 'IPv4, in the last block', block: IPV4, address: `10.${blocks - 1}.7.200` },
      { name: 'IPv4, in none', block: IPV4, address: '192.0.2.1' },
      { name: 'IPv6, in the last block', block: IPV6, address: `2001:db8:${(blocks - 1).toString(16)}::1` },
      { name: 'IPv6, in none', block: IPV6, address: '2001:db9:1:2:3:4:5:6' },
    ].map(({ name, block, address }) => {
      const allowed = parseBlocks(Array.from({ length: blocks }, (_, i) => block(i)).join(' '))
      return { name, blocks, micros: median(() => isInside(allowed, address)) }
    }),
  )
}

function median(check: () => boolean): number {
  const turns = Array.from({ length: TURNS }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < CHECKS; i++) check()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / CHECKS
  })
  return turns.sort((a, b) => a - b)[Math.floor(TURNS / 2)] as number
}
