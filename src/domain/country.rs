//! ISO 3166-1 alpha-2 country codes: which two letters are a country, and nothing else about it.

/// The assigned codes, sorted, end to end.
const CODES: &str = concat!(
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZ",
    "DEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJM",
    "JOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONP",
    "NRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTO",
    "TRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW",
);

/// The code itself with a static lifetime, if `code` is two capital letters that ISO 3166-1 assigns.
pub fn country(code: &str) -> Option<&'static str> {
    let wanted: [u8; 2] = code.as_bytes().try_into().ok()?;
    let (pairs, _) = CODES.as_bytes().as_chunks::<2>();
    let place = pairs.binary_search(&wanted).ok()?;
    CODES.get(place * 2..place * 2 + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_complete() {
        let (pairs, rest) = CODES.as_bytes().as_chunks::<2>();
        assert!(rest.is_empty() && pairs.is_sorted() && pairs.len() == 249);
        for pair in pairs {
            let code = std::str::from_utf8(pair).unwrap();
            assert_eq!(country(code), Some(code));
        }
    }

    #[test]
    fn other_letters_are_no_country() {
        for code in ["", "U", "us", "USA", "XX", "EU", "UK", "001", "É"] {
            assert_eq!(country(code), None, "{code}");
        }
    }
}
