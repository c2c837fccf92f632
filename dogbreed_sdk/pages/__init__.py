"""What all HTML pages share: elements, drawings, charts, and the page around them, which works offline."""
