import { expect } from 'chai'
import { differencesOf } from '../../../../src/application/verification/differences.ts'

describe('what differs in a document', () => {
  it('is named, and hashes and links are not shown', () => {
    const [expected, found] = [
      { id: 'a', name: 'one', hash: 'secret 1', chain: 'link 1' },
      { id: 'a', name: 'two', hash: 'secret 2', chain: 'link 2' },
    ]
    const differences = differencesOf('tokens', 'a', expected, found)
    expect(differences.map(({ field }) => field)).to.deep.equal(['chain', 'hash', 'name'])
    expect(JSON.stringify(differences))
      .to.include('two')
      .and.not.match(/secret|link \d/)
  })
})
