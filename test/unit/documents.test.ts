import { expect } from 'chai'
import { anchorsOf, blocksOf, brokenLinks, documents, linksIn, textOf } from '../support/documents.ts'

/** Delete a path here as soon as it is there. */
const NOT_YET = ['CONTRIBUTING.md', 'docs/decisions/README.md', 'docs/examples/README.md']

describe('links between the documents', () => {
  for (const path of [...documents, 'CHANGELOG.md']) {
    it(`${path} leads to files and headings that exist`, () => {
      expect(brokenLinks(path, textOf(path), NOT_YET)).to.deep.equal([])
    })
  }

  it('reach every page from the index', () => {
    const index = linksIn(textOf('docs/README.md'))
    const pages = documents.filter((path) => /^docs\/[^/]+\.md$/.test(path) && path !== 'docs/README.md')
    expect(pages.length).to.be.greaterThan(10)
    expect(index).to.include.members(pages.map((path) => path.slice('docs/'.length)))
  })
})

describe('the reader of documents', () => {
  const text = [
    '# One `code`, two!',
    '[a](b.md) [here](#three) ![](https://elsewhere.example/c.png)',
    '## Three',
    '## Three',
    '- in a list:',
    '',
    '  ```sh not run: why',
    '  # no heading, and [no](link.md)',
    '  ```',
  ].join('\n')

  it('makes anchors as GitHub does', () => {
    expect(anchorsOf(text)).to.deep.equal(['one-code-two', 'three', 'three-1'])
  })

  it('finds blocks in lists, without the indentation', () => {
    expect(blocksOf(text)).to.deep.equal([
      { info: 'sh not run: why', text: '# no heading, and [no](link.md)\n' },
    ])
  })

  it('names a file or a heading that is not there', () => {
    expect(brokenLinks('docs/page.md', text)).to.deep.equal(['docs/page.md: there is no docs/b.md'])
    expect(brokenLinks('docs/page.md', text, ['docs/b.md'])).to.deep.equal([])
    expect(brokenLinks('docs/page.md', '[](../README.md#nothing) [](#nowhere)')).to.deep.equal([
      'docs/page.md: README.md has no #nothing',
      'docs/page.md: docs/page.md has no #nowhere',
    ])
  })
})
